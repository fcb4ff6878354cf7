/// Pre-trains a language model, from text files to a model folder: trains a tokenizer, writes pre-tokenized shards,
/// defines a model type and trains it, on several processes with ZeRO-1. Each step is a call of the library.

#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>

#include "moderngpt2/cli/interrupt.hpp"
#include "moderngpt2/cli/main.hpp"
#include "moderngpt2/cli/options.hpp"
#include "moderngpt2/config/presets.hpp"
#include "moderngpt2/data/dataset.hpp"
#include "moderngpt2/data/parquet_text.hpp"
#include "moderngpt2/data/pretokenize.hpp"
#include "moderngpt2/data/source.hpp"
#include "moderngpt2/distributed/launch.hpp"
#include "moderngpt2/model/heads.hpp"
#include "moderngpt2/tokenizer/export.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"
#include "moderngpt2/tokenizer/train.hpp"
#include "moderngpt2/training/trainer.hpp"
#ifdef MODERNGPT2_HAVE_MPI
#include "moderngpt2/distributed/mpi.hpp"
#endif

namespace {

using namespace moderngpt2;
namespace fs = std::filesystem;

// The model. Every dimension is a compile-time constant, the vocabulary size comes from the tokenizer.
constexpr int block_size = 256;
constexpr Config config = [] {
  Config c = size_config(/*n_layer=*/4, /*n_embd=*/256, /*n_head=*/4);
  c.n_kv_head = 2;  // grouped-query attention
  c.n_positions = block_size;
  c.activation = Activation::silu;  // SwiGLU
  return c;
}();
using LanguageModel = CausalLM<shape_of(config)>;

void train_tokenizer(const SourceOptions& text, int vocab_size, const fs::path& folder) {
  DocumentSource source(text);
  const auto next = [&](std::string& document) {
    Document found;
    if (!source.next(found)) return false;
    document = std::move(found.text);
    return true;
  };
  write_tokenizer_files(folder, train_sentencepiece({.vocab_size = vocab_size}, next), "the trained model");
}

void write_shards(const SourceOptions& text, const fs::path& tokenizer, const fs::path& folder, int threads) {
  PretokenizeOptions options;
  options.source = text;
  options.output_path = folder;
  options.block_size = block_size;
  options.eval_fraction = 0.02;
  options.num_threads = threads;
  options.resume = true;  // after an interrupted run
  pretokenize(Tokenizer::load(tokenizer), options);
}

int pretrain(const SourceOptions& text, int vocab_size, TrainingSettings settings,
             distributed::CommunicatorBase* processes) {
  distributed::CommunicatorBase& ranks = distributed::ranks_or_single(processes);
  const fs::path tokenizer_folder = settings.output_dir / "tokenizer", shards = settings.output_dir / "shards";
  const int threads = available_threads();  // cores that mpirun gave this process, or OMP_NUM_THREADS
  run_or_fail_together(ranks, "preparing the data", [&] {
    if (ranks.rank() != 0) return;
    if (!fs::exists(tokenizer_folder / "tokenizer.json")) train_tokenizer(text, vocab_size, tokenizer_folder);
    if (!fs::exists(shards / "metadata.yaml")) write_shards(text, tokenizer_folder, shards, threads);
  });
  const Tokenizer tokenizer = Tokenizer::load(tokenizer_folder);
  const DatasetSplits data = DatasetSplits::open(shards, {.vocab_size = tokenizer.vocab_size()});
  Config c = config;
  c.vocab_size = tokenizer.vocab_size(), c.eos_token_id = tokenizer.eos_id(), c.pad_token_id = tokenizer.pad_id();
  settings.world_size = ranks.size();
  LanguageModel model(c, LanguageModel::Backend(threads), distributed::buffer_granule(ranks.size()));
  const auto say = [](const std::string& line) { std::puts(line.c_str()); };
  TrainingHooks hooks{.stop = interrupted};
  if (ranks.rank() == 0) hooks.say = say;
  Trainer<LanguageModel> trainer(model, data, {.tokenizer = TokenizerFiles::read(tokenizer_folder)}, settings, hooks,
                                 &ranks);
  const std::optional<Checkpoint> checkpoint = latest_checkpoint(settings.output_dir, say);
  checkpoint ? trainer.resume(*checkpoint) : trainer.initialize(settings.seed);
  return stop_status(trainer.run());  // logs, evaluates, saves checkpoints, and at the end the model in output_dir
}

int program(int argc, char** argv) {
  SourceOptions text;
  text.open_parquet = open_parquet_text;
  TrainingSettings settings{.output_dir = "pretrained", .max_steps = 200, .zero_stage = 1, .learning_rate = 1e-3};
  settings.logging_steps = 10, settings.eval_steps = 100, settings.save_steps = 100;
  int vocab_size = 4000;
  Options options("pretrain", "Pre-trains a small language model on text files, on one process or with mpirun.");
  options.add("input", text.inputs, "Text files or folders of text.").required().metavar("PATH");
  options.add("output_dir", settings.output_dir, "Folder of tokenizer, shards, checkpoints and model.");
  options.add("vocab_size", vocab_size, "Vocabulary size in tokens.").at_least(300);
  options.add("max_steps", settings.max_steps, "Optimizer steps.").at_least(1);
  options.example("--input stories --vocab_size 1000 --max_steps 20", "20 steps on the files of a folder");
  options.exit_status(signal_statuses(), "stopped by " + signal_names() + "; the same command continues");
  options.parse(argc, argv);
  catch_interrupts();
#ifdef MODERNGPT2_HAVE_MPI
  if (distributed::launched_processes()) {
    const distributed::MpiSession session;
    distributed::MpiCommunicator ranks(session);
    return pretrain(text, vocab_size, settings, &ranks);
  }
#endif
  distributed::require_single_process("was built without MPI");
  return pretrain(text, vocab_size, settings, nullptr);
}

}  // namespace

int main(int argc, char** argv) { return moderngpt2::run_main(argc, argv, program); }
