#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#if !__has_include(<sentencepiece_trainer.h>)
#error "moderngpt2: <sentencepiece_trainer.h> not found: link moderngpt2::tokenizer_training, a component of moderngpt2"
#endif
#include <sentencepiece_trainer.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/start_thread.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/tokenizer/utf8.hpp"

namespace moderngpt2 {

/// Settings for training a tokenizer.
struct TokenizerTraining {
  int vocab_size = 32000;
  /// Special tokens. <pad>, <unk> and <|endoftext|> always exist, with ids 0, 1 and 2; others follow in order.
  std::vector<std::string> special_tokens{"<|endoftext|>", "<unk>", "<pad>"};
  bool chat_tokens = false;            ///< adds `chat_special_tokens`
  double character_coverage = 0.9995;  ///< fraction of characters with a piece; others become bytes
  std::string model_type = "bpe";      // or unigram
  int max_sentence_length = 16384;     ///< bytes; longer documents are split, never skipped
  int num_threads = static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 1u, 128u));
};

/// Reads the next document. Returns false at the end.
using NextDocument = std::function<bool(std::string&)>;

/// Special tokens that TokenizerTraining::chat_tokens adds, for chats in the format of tokenizer/chat_template.hpp.
inline const std::vector<std::string>& chat_special_tokens() {
  static const std::vector<std::string> tokens{"<|system|>",
                                               "<|user|>",
                                               "<|assistant|>",
                                               "<|begin_of_text|>",
                                               "<|end_of_text|>",
                                               "<|start_header_id|>",
                                               "<|end_header_id|>",
                                               "<|eot_id|>",
                                               "<|reserved_special_token_0|>",
                                               "<|reserved_special_token_1|>",
                                               "<|reserved_special_token_2|>",
                                               "<|reserved_special_token_3|>"};
  return tokens;
}

namespace detail {

/// Passes documents to SentencePiece as its "sentences". Each document is passed whole, so that line breaks are
/// ordinary characters and get pieces; fed by lines, they would be lost and later fall back to bytes. Documents that
/// are too long are split before a space, which no piece crosses, or else between two characters. SentencePiece skips
/// sentences with U+2585, its mark for unknown characters, and reserves tab and zero: the text is split there, and
/// these characters fall back to bytes. Special tokens are removed, because they have ids and no piece should spell
/// them. Line breaks after a special token stand alone: a model that continues a prompt after them could not produce a
/// piece that joins them with the first character of the answer.
class TrainingSentences : public sentencepiece::SentenceIterator {
 public:
  TrainingSentences(const NextDocument& read, const TokenizerTraining& training, std::vector<std::string> special)
      : read_(read), limit_(static_cast<std::size_t>(training.max_sentence_length)), cut_out_(std::move(special)) {
    cut_out_.insert(cut_out_.end(), {"\xE2\x96\x85", "<pad>", "<unk>", "<|endoftext|>"});  // the first: U+2585
    for (const std::string& text : cut_out_) longest_ = std::max(longest_, text.size());
    Next();
  }

  bool done() const override { return done_; }
  const std::string& value() const override { return sentence_; }
  sentencepiece::util::Status status() const override { return {}; }

  /// Exceptions of the reader are stored, because they must not pass through the SentencePiece library.
  void Next() override {
    try {
      do {
        if (!fill()) {
          done_ = true;
          return;
        }
        take_sentence();
      } while (sentence_.empty());
    } catch (...) {
      error_ = std::current_exception();
      done_ = true;
    }
  }

  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  bool fill() {
    while (at_ >= document_.size()) {
      if (!read_(document_)) return false;
      at_ = 0;
      if (valid_utf8_prefix(document_) != document_.size()) document_ = replace_invalid_utf8(document_);
    }
    return true;
  }

  void take_sentence() {
    const std::string_view rest = std::string_view(document_).substr(at_);
    const std::string_view near = rest.substr(0, limit_ + longest_);
    std::size_t end = after_token_ ? std::min(rest.find_first_not_of('\n'), rest.size()) : 0, skipped = 0;
    if (end == 0) {
      end = rest.size();
      for (const std::string& text : cut_out_)
        if (const std::size_t found = near.find(text); found < end || (found == end && text.size() > skipped))
          end = found, skipped = text.size();
    }
    std::size_t length = end;
    if (length > limit_) {
      length = rest.rfind(' ', limit_);
      if (length == rest.npos || length == 0) {
        length = limit_;
        while (is_utf8_continuation(rest[length])) --length;
      }
    }
    sentence_ = rest.substr(0, length);
    at_ += length;
    if (length == end) at_ += skipped;
    after_token_ = length == end && skipped > 0;
  }

  const NextDocument& read_;
  std::size_t limit_, longest_ = 0;
  std::vector<std::string> cut_out_;
  std::string document_, sentence_;
  std::size_t at_ = 0;
  bool after_token_ = false;
  bool done_ = false;
  std::exception_ptr error_;
};

/// Special tokens of the settings except the three fixed ones, without duplicates. Throws Error for an invalid token.
inline std::vector<std::string> further_special_tokens(const TokenizerTraining& training) {
  std::vector<std::string> all = training.special_tokens;
  if (training.chat_tokens) all.insert(all.end(), chat_special_tokens().begin(), chat_special_tokens().end());
  std::vector<std::string> further;
  for (const std::string& token : all) {
    if (token == "<pad>" || token == "<unk>" || token == "<|endoftext|>") continue;
    if (token.empty() || valid_utf8_prefix(token) != token.size() ||
        token.find_first_of(std::string_view(" \t\r\n\0", 5)) != token.npos || token.find(space_mark) != token.npos)
      throw Error("special_tokens: {} is empty, has white space in it or is not UTF-8", excerpt(token, 40));
    if (token.size() == 6 && token.starts_with("<0x") && token[5] == '>')
      throw Error("special_tokens: {} has the form reserved for bytes", token);
    if (std::find(further.begin(), further.end(), token) == further.end()) further.push_back(token);
  }
  return further;
}

inline void check_training(const TokenizerTraining& training, std::size_t special_tokens) {
  if (training.model_type != "bpe" && training.model_type != "unigram")
    throw Error("model_type is {}: bpe or unigram is needed", excerpt(training.model_type, 40));
  if (!(training.character_coverage >= 0.98 && training.character_coverage <= 1))
    throw Error("character_coverage is {}: a number from 0.98 to 1 is needed", training.character_coverage);
  if (training.max_sentence_length < 10 || training.max_sentence_length > (1 << 30))
    throw Error("max_sentence_length is {}: a number from 10 to {} is needed", training.max_sentence_length, 1 << 30);
  if (training.num_threads < 1 || training.num_threads > 128)
    throw Error("num_threads is {}: a number from 1 to 128 is needed", training.num_threads);
  require_threads(training.num_threads, {"num_threads"});
  const auto smallest = static_cast<std::int64_t>(special_tokens) + 256 + 1;
  if (training.vocab_size < smallest)
    throw Error("vocab_size is {}: {} special tokens, 256 bytes and the text's characters need more than {}",
                training.vocab_size, special_tokens, smallest - 1);
}

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
    throw Error("vocab_size {} is too large for this text: the largest possible is {}; lower it or give more text",
                training.vocab_size, most);
  if (const std::string least = number_after(fmt::format("{} vs ", training.vocab_size)); !least.empty())
    throw Error(
        "vocab_size {} is too small: special tokens, bytes and the text's characters need {}; raise it or "
        "lower character_coverage (now {})",
        training.vocab_size, least, training.character_coverage);
  throw Error("SentencePiece could not train the tokenizer: {}", excerpt(message, 400));
}

}  // namespace detail

/// Trains a SentencePiece model on documents and returns the bytes of its .model file: byte fallback, identity
/// normalization, no dummy prefix, all white space kept. Throws Error for invalid settings, for empty text, and for a
/// vocabulary larger than the text allows.
inline std::string train_sentencepiece(const TokenizerTraining& training, const NextDocument& read) {
  const std::vector<std::string> further = detail::further_special_tokens(training);
  detail::check_training(training, further.size() + 3);
  std::unordered_map<std::string, std::string> settings{
      {"model_type", training.model_type},
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
      // By default its suffix array has 32-bit indices, and the size of the text is not known in advance.
      {"train_extremely_large_corpus", training.model_type == "unigram" ? "true" : "false"},
      {"minloglevel", "3"},  // suppresses progress and errors; errors are returned as a status
  };
  if (!further.empty()) settings["control_symbols"] = detail::quoted_list(further);
  detail::TrainingSentences sentences(read, training, further);
  sentences.rethrow();
  if (sentences.done()) throw Error("no text to train the tokenizer on");
  std::string model;
  const auto status = sentencepiece::SentencePieceTrainer::Train(settings, &sentences, &model);
  sentences.rethrow();
  if (!status.ok()) detail::throw_training_error(status.ToString(), training);
  return model;
}

}  // namespace moderngpt2
