/// Turns text into shards of token ids, ready for training: reads the command line and calls pretokenize().

#include <cstdio>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/cli/interrupt.hpp"
#include "moderngpt2/cli/main.hpp"
#include "moderngpt2/cli/options.hpp"
#include "moderngpt2/cli/progress.hpp"
#include "moderngpt2/data/pretokenize.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"

namespace {

using namespace moderngpt2;

int program(int argc, char** argv) {
  PretokenizeOptions settings;
  std::filesystem::path tokenizer_path = "./my_tokenizer";
  settings.output_path = "./pretokenized_dataset";

  Options options("pretokenize_dataset",
                  "Encodes text and packs it into blocks of token ids, written as Parquet shards.");
  options.section("Text");
  options.add("input", settings.source.inputs,
              "files, globs or folders of .json, .jsonl or .txt, also with .gz or .zst");
  options.add("text_column", settings.source.text_column, "the field of a JSON line that holds the text");
  options.add_choice(
      "txt_document", settings.source.text_document,
      {{"line", TextDocument::line}, {"paragraph", TextDocument::paragraph}, {"file", TextDocument::file}},
      "what one document of a .txt file is; a blank line ends a paragraph");
  options.add("max_input_lines_total", settings.source.max_documents, "documents to read, over all languages; 0: all")
      .at_least(0);
  options.add("strict", settings.source.strict, "ends with an error at a line without text, instead of a warning");
  options.section("Tokens");
  options.add("tokenizer_path", tokenizer_path, "the tokenizer's folder, or its tokenizer.json");
  options.add("block_size", settings.block_size, "tokens in a block").between(1, 1 << 24);
  options.add("split_special_tokens", settings.split_special_tokens,
              "text that looks like a special token becomes ordinary tokens");
  options.section("Output");
  options.add("output_path", settings.output_path, "the folder to write, which must hold no shards yet");
  options.add("max_samples_per_shard", settings.max_samples_per_shard, "blocks in a shard").at_least(1);
  options.add("eval_fraction", settings.eval_fraction, "part of the blocks, the last ones, to keep for evaluation")
      .between(0, 0.5);
  options.parse(argc, argv);
  if (settings.source.inputs.empty()) throw UsageError("--input is needed: streaming C4 from the Hub is not there yet");

  const Tokenizer tokenizer = Tokenizer::load(tokenizer_path);
  Progress progress("pretokenize", "MB", 0);
  settings.source.warn = [&](const std::string& line) {
    progress.clear();
    fmt::print(stderr, "warning: {}\n", line);
  };
  catch_interrupts();
  const auto extra = [&](const PretokenizeProgress& now) {
    const double seconds = std::max(progress.seconds(), 1e-9);
    return fmt::format(
        "{} documents/s, {} tokens/s, {:.0f}% of the input", short_count(static_cast<double>(now.documents) / seconds),
        short_count(static_cast<double>(now.tokens) / seconds),
        now.total_bytes > 0 ? 100.0 * static_cast<double>(now.bytes_read) / static_cast<double>(now.total_bytes)
                            : 100.0);
  };
  PretokenizeProgress last;
  const DatasetMetadata metadata = pretokenize(tokenizer, settings, [&](const PretokenizeProgress& now) {
    if (const int signal = interrupted()) throw ExitRequest{128 + signal, ""};
    last = now;
    if (progress.due()) progress.update(static_cast<double>(now.text_bytes) / 1e6, extra(now));
  });
  progress.finish(static_cast<double>(last.text_bytes) / 1e6, extra(last));
  fmt::print("{}", summary(metadata));
  return 0;
}

}  // namespace

int main(int argc, char** argv) { return moderngpt2::run_main(argc, argv, program); }
