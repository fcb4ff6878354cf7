/// Trains a tokenizer on text: parses the command line, counts words, learns pieces and writes Hugging Face's files.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "moderngpt2/cli/main.hpp"
#include "moderngpt2/cli/options.hpp"
#include "moderngpt2/cli/progress.hpp"
#include "moderngpt2/cli/text_flags.hpp"
#include "moderngpt2/data/parquet_text.hpp"
#include "moderngpt2/data/source.hpp"
#include "moderngpt2/io/folder.hpp"
#include "moderngpt2/tokenizer/export.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"
#include "moderngpt2/tokenizer/train.hpp"
#include "moderngpt2/tokenizer/training/byte_bpe_files.hpp"

namespace {

using namespace moderngpt2;

/// Text such as "45% of the input, 0:12 left" for the progress line of reading.
std::string time_left(const DocumentSource& source, const Progress& progress, std::int64_t most_documents) {
  const auto part = [](std::int64_t done, std::int64_t total) {
    return total > 0 ? static_cast<double>(done) / static_cast<double>(total) : 0;
  };
  const double share =
      std::max(part(source.bytes_read(), source.total_bytes()), part(source.documents(), most_documents));
  if (!(share > 0) || share > 1) return "";
  return fmt::format("{:.0f}% of the input, {} left", 100 * share,
                     clock_text(progress.seconds() * (1 - share) / share));
}

/// Output and memory of a run.
std::string plan(const TokenizerTraining& training, const std::filesystem::path& output_path) {
  const bool is_unigram = training.model_type == "unigram";
  return fmt::format(
      "would write a tokenizer of {} tokens to {}\nwould use up to {:.1f} GiB of memory (--max_memory): enough for {}",
      training.vocab_size, output_path.string(), static_cast<double>(training.max_memory) / (1 << 30),
      is_unigram ? fmt::format("{:.0f} MB of text; of more, a random sample",
                               static_cast<double>(training.max_memory) / detail::unigram_memory / 1e6)
                 : "all words of most texts up to this size; of more different words, the rarest are dropped");
}

int program(int argc, char** argv) {
  SourceOptions text;
  text.max_documents = 1000000;
  text.open_parquet = &open_parquet_text;
  TokenizerTraining training;
  std::filesystem::path output_path = "./my_tokenizer";
  double max_memory = static_cast<double>(training.max_memory) / (1 << 30);
  bool dry_run = false;

  Options options("train_tokenizer",
                  "Trains a SentencePiece tokenizer and writes it with tokenizer.json for Hugging Face.");
  TextOptions text_options(options, text, "max_train_lines", "langs");
  options.section("Vocabulary");
  options.add("vocab_size", training.vocab_size, "Vocabulary size, including special tokens and the 256 byte tokens.")
      .at_least(1);
  options.add("special_tokens", training.special_tokens,
              "Special tokens. <pad>, <unk> and <|endoftext|> always have the ids 0, 1 and 2.");
  options.add(
      "chat_tokens", training.chat_tokens,
      "Add the special tokens of chats, such as <|eot_id|>, and the chat template of 'generate --interactive'.");
  options
      .add("character_coverage", training.character_coverage,
           "Fraction of the text's characters that get a token; other characters become bytes.")
      .between(0.98, 1);
  options
      .add("model_type", training.model_type,
           "Tokenizer algorithm. bpe: SentencePiece's BPE with byte fallback. unigram: SentencePiece's unigram model. "
           "byte_bpe: byte-level BPE, as GPT-2 and Llama 3 have it, with a tokenizer.json only.")
      .choices({"bpe", "unigram", "byte_bpe"});
  options
      .add("split_pattern", training.split_pattern,
           "Pattern by which --model_type byte_bpe splits text into words: gpt2, r50k, p50k, cl100k, o200k, llama3, "
           "qwen2, tekken, or a regular expression.")
      .metavar("PATTERN");
  options.section("Run");
  options
      .add("max_sentence_length", training.max_sentence_length,
           "Maximum length of a training sentence in bytes; longer text is split, never skipped. byte_bpe: not used.")
      .between(10, 1 << 30);
  options
      .add("max_memory", max_memory,
           "Maximum memory of the training in GiB. bpe and byte_bpe drop the rarest words, unigram trains on a random "
           "sample of the documents, where it does not suffice; a note says so.")
      .between(0.0625, 1 << 20);
  options.add("seed", training.seed, "Seed of the random sample of --model_type unigram.");
  options.add("num_threads", training.num_threads, "CPU threads.").between(1, 128).default_text("all cores");
  options.add("output_path", output_path, "Output folder.").metavar("DIR");
  options.add("dry_run", dry_run, "Print what would be read and written, and exit.");
  options.example("--input text --output_path my_tokenizer --vocab_size 8000",
                  "Train a vocabulary of 8,000 tokens on the files of a folder");
  options.example("--input 'dialogues/*.jsonl' --output_path chat_tokenizer --vocab_size 4000 --chat_tokens",
                  "Train a tokenizer for chats, with message tokens and a chat template");
  options.parse(argc, argv);
  training.max_memory = static_cast<std::int64_t>(max_memory * (1 << 30));
  if (dry_run) return text_options.dry_run(plan(training, output_path));
  text_options.check();
  require_writable(output_path);

  std::optional<Progress> progress(std::in_place, "reading", "MB", 0);
  text.warn = [&](const std::string& line) {
    progress->clear();
    fmt::print(stderr, "warning: {}\n", line);
  };
  text.note = [&](const std::string& line) {
    progress->clear();
    fmt::print(stderr, "note: {}\n", line);
  };
  training.note = text.note;
  text.read_ahead_bytes = std::size_t{64} << 20;
  DocumentSource source(text);
  double megabytes = 0;
  const auto next = [&](std::string& document) {
    Document found;
    if (!source.next(found)) {
      progress->finish(megabytes, fmt::format("{} documents", source.documents()));
      return false;
    }
    document = std::move(found.text);
    megabytes += static_cast<double>(document.size()) / 1e6;
    if (progress->due()) progress->update(megabytes, time_left(source, *progress, text.max_documents));
    return true;
  };
  bool is_merging = false;
  training.progress = [&](const char* phase, double done, double total) {
    if (!std::exchange(is_merging, true)) progress.emplace(phase, "tokens", total);
    progress->update(done);
  };
  if (training.model_type == "byte_bpe") {
    const ByteBpe trained = train_byte_bpe(training, split_text(training.split_pattern), next);
    write_byte_bpe_files(output_path, trained, training.split_pattern);
  } else {
    write_tokenizer_files(output_path, train_sentencepiece(training, next), "the trained model");
  }
  if (is_merging) progress->finish(training.vocab_size);
  progress.reset();
  fmt::print("{}: {} tokens, from {} documents\n", output_path.string(), Tokenizer::load(output_path).vocab_size(),
             source.documents());
  return 0;
}

}  // namespace

int main(int argc, char** argv) { return moderngpt2::run_main(argc, argv, program); }
