/// Converts text to shards of token ids for training: parses the command line and calls pretokenize().

#include <algorithm>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/cli/exit_request.hpp"
#include "moderngpt2/cli/interrupt.hpp"
#include "moderngpt2/cli/main.hpp"
#include "moderngpt2/cli/options.hpp"
#include "moderngpt2/cli/packing_progress.hpp"
#include "moderngpt2/cli/pretokenize_flags.hpp"
#include "moderngpt2/cli/text_flags.hpp"
#include "moderngpt2/cli/tokenizer_flags.hpp"
#include "moderngpt2/core/printable.hpp"
#include "moderngpt2/data/parquet_text.hpp"
#include "moderngpt2/data/pretokenize.hpp"
#include "moderngpt2/io/hub_cache.hpp"
#include "moderngpt2/run/tokenizer_choice.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"
#ifdef MODERNGPT2_HAVE_SENTENCEPIECE
#include "moderngpt2/tokenizer/formats/sentencepiece.hpp"  // tokenizer.model
#endif

namespace {

using namespace moderngpt2;

int program(int argc, char** argv) {
  PretokenizeOptions settings;
  settings.output_path = "./pretokenized_dataset";
  settings.source.open_parquet = &open_parquet_text;
  settings.num_threads = static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 1u, 256u));
  std::filesystem::path tokenizer_path = "./my_tokenizer";
  TokenizerChoice choice;
  bool dry_run = false;

  Options options("pretokenize_dataset",
                  "Encodes text and packs it into blocks of token ids, written as Parquet shards.");
  TextOptions text(options, settings.source, "max_input_lines_total", "c4_langs");
  options.section("Tokens");
  options.add("tokenizer_path", tokenizer_path, tokenizer_path_help);
  add_tokenizer_flags(options, choice);
  options.add("block_size", settings.block_size, "Block length in tokens.").between(1, 1 << 24);
  options.add("split_special_tokens", settings.split_special_tokens,
              "Encode text that looks like a special token as ordinary tokens.");
  options
      .add("bpe_dropout", settings.bpe_dropout,
           "BPE dropout: probability of leaving out each merge in training documents (Provilkov et al. 2020).")
      .between(0, 1);
  options.add("seed", settings.seed, "Random seed of --bpe_dropout.");
  options.section("Output");
  options.add("output_path", settings.output_path, "Output folder; must not hold shards yet.").metavar("DIR");
  options.add("max_samples_per_shard", settings.max_samples_per_shard, "Blocks per shard.").at_least(1);
  options
      .add("eval_fraction", settings.eval_fraction,
           "Fraction of the blocks, taken from the end, to hold out for evaluation. Ignored if an input folder has "
           "validation files.")
      .between(0, 0.5);
  options.section("Run");
  options.add("num_proc", settings.num_threads, "Encoding threads. The output does not depend on it.")
      .between(1, 1024)
      .default_text("all cores");
  options.add("resume", settings.resume, "Continue a stopped or killed run after its last finished shard.");
  options.add("dry_run", dry_run, "Print what would be read and written, and exit.");
  add_ignored_pretokenize_flags(options);
  options.example(
      "--input text --tokenizer_path my_tokenizer --output_path blocks --block_size 256 --eval_fraction 0.02",
      "Write blocks of 256 tokens, the last 2% of them for evaluation");
  options.example("--input text --tokenizer_path my_tokenizer --output_path blocks --block_size 256 --resume",
                  "Continue a run that was stopped");
  options.exit_status(signal_statuses(),
                      "stopped by " + signal_names() + "; --resume continues after the last finished shard");
  options.parse(argc, argv);
  for (const std::string& note : options.notes()) std::printf("note: %s\n", note.c_str());
  if (!dry_run) text.check();

  tokenizer_path = local_model(tokenizer_path);
  const Tokenizer tokenizer = open_tokenizer(tokenizer_path, choice);
  for (const std::string& note : tokenizer.notes()) std::printf("note: %s\n", printable(note).c_str());
  settings.eos_id = eos_of(tokenizer, choice);
  if (dry_run)
    return text.dry_run(fmt::format("would write shards of {} blocks of {} tokens to {}",
                                    settings.max_samples_per_shard, settings.block_size, settings.output_path.string()),
                        true);
  PackingProgress progress;
  const auto say = [&](const std::string& line) {
    progress.clear();
    fmt::print(stderr, "{}\n", printable(line));
  };
  settings.source.warn = [&](const std::string& line) { say("warning: " + line); };
  settings.source.note = [&](const std::string& line) { say("note: " + line); };
  settings.note = say;
  catch_interrupts();
  const DatasetMetadata metadata = pretokenize(tokenizer, settings, [&](const PretokenizeProgress& now) {
    if (const int signal = interrupted()) throw ExitRequest{stop_status(signal), ""};
    progress.update(now);
  });
  progress.finish();
  fmt::print("{}{}", summary(metadata), progress.summary());
  return 0;
}

}  // namespace

int main(int argc, char** argv) { return moderngpt2::run_main(argc, argv, program); }
