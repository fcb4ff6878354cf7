#include <cstdio>
#include <memory>
#include <string>

#include <moderngpt2/moderngpt2.hpp>

using namespace moderngpt2;

int main() {
  const Tokenizer tokenizer = Tokenizer::load("my_tokenizer");
  const std::vector<int> ids = tokenizer.encode(read_file("my_text.txt"));

  Config config = size_config(2, 64, 4, tokenizer.vocab_size());  // layers, n_embd, heads
  config.n_positions = 64;                                        // maximum length of a text in tokens
  config.eos_token_id = tokenizer.eos_id(), config.pad_token_id = tokenizer.pad_id();
  CausalLM<any_shape> model(config);

  const TrainAndEval data = hold_out(std::make_shared<MemoryBlocks>(ids, 64), 10);
  TrainingSettings settings{.output_dir = "my_model", .num_train_epochs = 2, .learning_rate = 2e-3};
  settings.logging_steps = settings.eval_steps = settings.save_steps = 10;
  Trainer trainer(model, data, {.tokenizer = TokenizerFiles::read("my_tokenizer")}, settings,
                  {.say = [](const std::string& line) { std::puts(line.c_str()); }});
  trainer.initialize(42);
  trainer.run();  // logs, evaluates, writes checkpoints, and at the end my_model
  return 0;
}
