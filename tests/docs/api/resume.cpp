#include <csignal>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>

#include <moderngpt2/moderngpt2.hpp>

using namespace moderngpt2;

volatile std::sig_atomic_t signal_received = 0;

int main() {
  std::signal(SIGINT, [](int signal) { signal_received = signal; });  // Ctrl-C
  const Tokenizer tokenizer = Tokenizer::load("my_tokenizer");
  const std::vector<int> ids = tokenizer.encode(read_file("my_text.txt"));
  const TrainAndEval data = hold_out(std::make_shared<MemoryBlocks>(ids, 64), 10);
  Config config = size_config(1, 64, 4, tokenizer.vocab_size());
  config.n_positions = 64;
  CausalLM<any_shape> model(config);
  TrainingSettings settings{.output_dir = "my_run", .num_train_epochs = 20, .learning_rate = 1e-2};
  settings.logging_steps = settings.eval_steps = settings.save_steps = 20;

  double best = 1e9;
  TrainingHooks hooks;
  hooks.stop = [] { return int(signal_received); };
  hooks.on_step = [](const StepReport& report) {
    if (report.step % 20 == 0) std::printf("step %d: loss %.3f\n", int(report.step), report.loss);
  };
  hooks.on_evaluate = [&](const Evaluation& evaluation, TrainingControl& control) {
    std::printf("  evaluation: loss %.3f\n", evaluation.loss);
    if (evaluation.loss > best) control.should_training_stop = true;  // early stopping
    best = std::min(best, evaluation.loss);
  };
  hooks.on_save = [](const std::filesystem::path& folder) { std::printf("  saved %s\n", folder.c_str()); };

  Trainer trainer(model, data, {.tokenizer = TokenizerFiles::read("my_tokenizer")}, settings, hooks);
  const auto warn = [](const std::string& damaged) { std::puts(damaged.c_str()); };
  if (const auto checkpoint = latest_checkpoint("my_run", warn))
    trainer.resume(*checkpoint);
  else
    trainer.initialize(settings.seed);
  return stop_status(trainer.run());  // 0, 128 plus the number of a signal, or 75 for max_hours
}
