#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#if !__has_include(<sentencepiece_trainer.h>)
#error "moderngpt2: <sentencepiece_trainer.h> not found: link moderngpt2::tokenizer_training, a component of moderngpt2"
#endif
#include <sentencepiece_trainer.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/tokenizer/training/document_sample.hpp"
#include "moderngpt2/tokenizer/training/sentencepiece_bpe.hpp"
#include "moderngpt2/tokenizer/training/sentences.hpp"
#include "moderngpt2/tokenizer/training/settings.hpp"

namespace moderngpt2 {

namespace detail {

/// Passes documents to SentencePiece as its "sentences" (SentenceCutter). SentencePiece skips sentences with U+2585,
/// its mark for unknown characters, and reserves tab and zero: the text is cut there, and these characters fall back to
/// bytes.
class TrainingSentences : public sentencepiece::SentenceIterator {
 public:
  TrainingSentences(const NextDocument& read, const TokenizerTraining& training,
                    const std::vector<std::string>& special)
      : read_(read), cutter_(static_cast<std::size_t>(training.max_sentence_length), cut_out_texts(special)) {
    Next();
  }

  bool done() const override { return done_; }
  const std::string& value() const override { return sentence_; }
  sentencepiece::util::Status status() const override { return {}; }

  /// Exceptions of the reader are stored, because they must not pass through the SentencePiece library.
  void Next() override {
    try {
      std::string_view sentence;
      while ((sentence = cutter_.next()).empty()) {
        if (!read_(document_)) {
          done_ = true;
          return;
        }
        cutter_.start(document_);
      }
      sentence_ = sentence;
    } catch (...) {
      error_ = std::current_exception();
      done_ = true;
    }
  }

  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  const NextDocument& read_;
  SentenceCutter cutter_;
  std::string document_, sentence_;
  bool done_ = false;
  std::exception_ptr error_;
};

/// Formats values for one of SentencePiece's comma-separated lists.
inline std::string quoted_list(const std::vector<std::string>& values) {
  std::string list;
  for (const std::string& value : values) {
    list += list.empty() ? "\"" : ",\"";
    for (const char c : value) list += c == '"' ? std::string("\"\"") : std::string(1, c);
    list += '"';
  }
  return list;
}

/// Throws SentencePiece's message in terms of this library's settings.
[[noreturn]] inline void throw_training_error(const std::string& message, const TokenizerTraining& training) {
  const auto number_after = [&](std::string_view text) {
    std::size_t at = message.find(text);
    std::string digits;
    if (at == message.npos) return digits;
    for (at += text.size(); at < message.size() && message[at] >= '0' && message[at] <= '9'; ++at)
      digits += message[at];
    return digits;
  };
  if (const std::string most = number_after("Please set it to a value <= "); !most.empty())
    throw_too_large(training, std::stoull(most));
  if (const std::string least = number_after(fmt::format("{} vs ", training.vocab_size)); !least.empty())
    throw_too_small(training, std::stoull(least));
  throw Error("SentencePiece could not train the tokenizer: {}", excerpt(message, 400));
}

/// SentencePiece's memory for unigram training, in bytes for each byte of text.
inline constexpr std::size_t unigram_memory = 24;

/// Trains a unigram model with the SentencePiece library, on a sample of the documents if not all fit into max_memory.
inline std::string train_unigram(const TokenizerTraining& training, const std::vector<std::string>& further,
                                 const NextDocument& read) {
  DocumentSample sample(training.seed, static_cast<std::size_t>(training.max_memory) / unigram_memory);
  for (std::string document; read(document); document.clear()) sample.add(std::move(document));
  if (!sample.is_whole() && training.note)
    training.note(fmt::format(
        "trains on a random sample of {} of {} documents ({:.1f} of {:.1f} MB, seed {}): max_memory is {:.1f} GiB",
        sample.kept(), sample.documents(), double(sample.bytes()) / 1e6, double(sample.all_bytes()) / 1e6,
        training.seed, double(training.max_memory) / double(1 << 30)));
  const bool is_large = sample.bytes() > (std::size_t{1} << 30);
  std::vector<std::string> documents = sample.take();
  const NextDocument next = [&, at = std::size_t{0}](std::string& document) mutable {
    if (at == documents.size()) return false;
    document = std::move(documents[at++]);
    return true;
  };
  std::unordered_map<std::string, std::string> settings{
      {"model_type", "unigram"},
      {"vocab_size", fmt::format("{}", training.vocab_size)},
      {"character_coverage", fmt::format("{}", training.character_coverage)},
      {"max_sentence_length", fmt::format("{}", training.max_sentence_length)},
      {"num_threads", fmt::format("{}", training.num_threads)},
      {"byte_fallback", "true"},
      {"normalization_rule_name", "identity"},
      {"add_dummy_prefix", "false"},
      {"remove_extra_whitespaces", "false"},
      {"pad_id", "0"},
      {"unk_id", "1"},
      {"eos_id", "2"},
      {"bos_id", "-1"},
      {"pad_piece", "<pad>"},
      {"unk_piece", "<unk>"},
      {"eos_piece", "<|endoftext|>"},
      // The suffix array of the text has 32-bit indices by default.
      {"train_extremely_large_corpus", is_large ? "true" : "false"},
      {"minloglevel", "3"},  // suppresses progress and errors; errors are returned as a status
  };
  if (!further.empty()) settings["control_symbols"] = quoted_list(further);
  TrainingSentences sentences(next, training, further);
  if (sentences.done()) throw Error("no text to train the tokenizer on");
  std::string model;
  const auto status = sentencepiece::SentencePieceTrainer::Train(settings, &sentences, &model);
  sentences.rethrow();
  if (!status.ok()) throw_training_error(status.ToString(), training);
  return model;
}

}  // namespace detail

/// Trains a SentencePiece model on documents and returns the bytes of its .model file: byte fallback, identity
/// normalization, no dummy prefix, all white space kept. bpe: the pieces are those that SentencePiece itself learns
/// (training/sentencepiece_pairs.hpp); unigram: the SentencePiece library trains. Throws Error for invalid settings,
/// for empty text, and for a vocabulary larger than the text allows.
inline std::string train_sentencepiece(const TokenizerTraining& training, const NextDocument& read) {
  const std::vector<std::string> further = detail::further_special_tokens(training);
  detail::check_training(training, further.size() + 3);
  if (training.model_type == "unigram") return detail::train_unigram(training, further, read);
  if (training.model_type == "bpe") return detail::train_sentencepiece_bpe(training, further, read);
  throw Error("model_type is {}: train_sentencepiece() trains bpe and unigram", training.model_type);
}

}  // namespace moderngpt2
