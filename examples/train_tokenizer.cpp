/// Trains a tokenizer on text: reads the command line, trains by SentencePiece and writes Hugging Face's files.

#include <cstdio>
#include <filesystem>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "moderngpt2/cli/main.hpp"
#include "moderngpt2/cli/options.hpp"
#include "moderngpt2/cli/progress.hpp"
#include "moderngpt2/data/parquet_text.hpp"
#include "moderngpt2/data/source.hpp"
#include "moderngpt2/data/streamed_datasets.hpp"
#include "moderngpt2/tokenizer/export.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"
#include "moderngpt2/tokenizer/train.hpp"

namespace {

using namespace moderngpt2;

int program(int argc, char** argv) {
  SourceOptions text;
  text.max_documents = 1000000;
  text.open_parquet = &open_parquet_text;
  TextFlags streamed{{}, "c4", {"en", "ja", "ko", "zh"}, {}};
  TokenizerTraining training;
  std::filesystem::path output_path = "./my_tokenizer";

  Options options("train_tokenizer", "Trains a tokenizer; writes tokenizer.json and a SentencePiece model.");
  options.section("Text");
  options.add("input", text.inputs,
              "files, globs or folders of .json, .jsonl or .txt, also with .gz or .zst, and of .parquet");
  options.add("text_column", text.text_column,
              "the field of a JSON line, or the column of a Parquet file, that holds the text");
  options.add_choice(
      "txt_document", text.text_document,
      {{"line", TextDocument::line}, {"paragraph", TextDocument::paragraph}, {"file", TextDocument::file}},
      "what one document of a .txt file is; a blank line ends a paragraph");
  options.add("max_train_lines", text.max_documents, "documents to read, over all languages; 0: all").at_least(0);
  options.add("strict", text.strict, "ends with an error at a line without text, instead of a warning");
  options.add("dataset", streamed.dataset, "the data set to stream without --input (not there yet)")
      .choices({"c4", "fineweb2"});
  options.add("langs", streamed.languages, "its languages (not there yet)");
  options.section("Vocabulary");
  options.add("vocab_size", training.vocab_size, "tokens, special tokens and the 256 bytes included").at_least(1);
  options.add("special_tokens", training.special_tokens,
              "tokens with a meaning of their own; <pad>, <unk> and <|endoftext|> always have the ids 0, 1, 2");
  options.add("chat_tokens", training.chat_tokens, "adds the special tokens of chats, such as <|user|> and <|eot_id|>");
  options
      .add("character_coverage", training.character_coverage,
           "share of the text whose characters get a token; other characters become bytes")
      .between(0.98, 1);
  options.add("model_type", training.model_type, "the kind of model").choices({"bpe", "unigram"});
  options.section("Run");
  options.add("max_sentence_length", training.max_sentence_length, "bytes; longer text is split, never skipped")
      .between(10, 1 << 30);
  options.add("num_threads", training.num_threads, "threads").between(1, 128).default_text("all cores");
  options.add("output_path", output_path, "the folder to write");
  options.parse(argc, argv);
  for (const char* flag : {"dataset", "langs"})
    if (options.typed(flag)) streamed.streaming_as_typed.push_back(flag);
  streamed.inputs = text.inputs;
  expect_files(streamed);

  Progress progress("reading", "MB", 0);
  text.warn = [&](const std::string& line) {
    progress.clear();
    fmt::print(stderr, "warning: {}\n", line);
  };
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
