/// Trains a tokenizer on text: parses the command line, trains with SentencePiece and writes Hugging Face's files.

#include <cstdio>
#include <filesystem>
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

namespace {

using namespace moderngpt2;

int program(int argc, char** argv) {
  SourceOptions text;
  text.max_documents = 1000000;
  text.open_parquet = &open_parquet_text;
  TokenizerTraining training;
  std::filesystem::path output_path = "./my_tokenizer";
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
  options.add("model_type", training.model_type, "Tokenizer algorithm.").choices({"bpe", "unigram"});
  options.section("Run");
  options
      .add("max_sentence_length", training.max_sentence_length,
           "Maximum length of a training sentence in bytes; longer text is split, never skipped.")
      .between(10, 1 << 30);
  options.add("num_threads", training.num_threads, "CPU threads.").between(1, 128).default_text("all cores");
  options.add("output_path", output_path, "Output folder.").metavar("DIR");
  options.add("dry_run", dry_run, "Print what would be read and written, and exit.");
  options.example("--input text --output_path my_tokenizer --vocab_size 8000",
                  "Train a vocabulary of 8,000 tokens on the files of a folder");
  options.example("--input 'dialogues/*.jsonl' --output_path chat_tokenizer --vocab_size 4000 --chat_tokens",
                  "Train a tokenizer for chats, with message tokens and a chat template");
  options.parse(argc, argv);
  if (dry_run)
    return text_options.dry_run(
        fmt::format("would write a tokenizer of {} tokens to {}", training.vocab_size, output_path.string()));
  text_options.check();
  require_writable(output_path);

  Progress progress("reading", "MB", 0);
  text.warn = [&](const std::string& line) {
    progress.clear();
    fmt::print(stderr, "warning: {}\n", line);
  };
  text.note = [](const std::string& line) { fmt::print(stderr, "note: {}\n", line); };
  DocumentSource source(text);
  double megabytes = 0;
  const auto next = [&](std::string& document) {
    Document found;
    if (!source.next(found)) {
      progress.finish(megabytes, fmt::format("{} documents; training", source.documents()));
      return false;
    }
    document = std::move(found.text);
    megabytes += static_cast<double>(document.size()) / 1e6;
    progress.update(megabytes);
    return true;
  };
  const std::string model = train_sentencepiece(training, next);
  write_tokenizer_files(output_path, model, "the trained model");
  fmt::print("{}: {} tokens, from {} documents\n", output_path.string(), Tokenizer::load(output_path).vocab_size(),
             source.documents());
  return 0;
}

}  // namespace

int main(int argc, char** argv) { return moderngpt2::run_main(argc, argv, program); }
