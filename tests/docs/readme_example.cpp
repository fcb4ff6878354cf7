#include <cstdio>
#include <memory>

#include <moderngpt2/moderngpt2.hpp>

using namespace moderngpt2;

constexpr ModelShape shape{.n_layer = 2, .n_embd = 64, .n_head = 4, .n_kv_head = 2, .head_dim = 16, .n_inner = 256};

int main() {
  Config config;  // the fields of config.json; those that the shape gives must agree with it
  config.n_layer = 2, config.n_embd = 64, config.n_head = 4, config.n_kv_head = 2, config.head_dim = 16;
  config.n_inner = 256, config.vocab_size = 256, config.n_positions = 64;
  CausalLM<shape> model(config);  // or load_model<CausalLM<any_shape>>("folder")
  model.initialize(42);

  std::vector<int> ids;  // each byte is a token; a Tokenizer makes larger ones
  for (const unsigned char byte : read_file("README.md")) ids.push_back(byte);
  const TrainAndEval data = hold_out(std::make_shared<MemoryBlocks>(ids, 64), 10);
  Trainer trainer(model, data, {}, {.output_dir = "my_model", .max_steps = 100, .learning_rate = 1e-2});
  trainer.run();  // writes my_model: config.json, model.safetensors, metrics.jsonl, the last checkpoint

  const auto next = generate(model, std::span(ids).first(20), {.max_new_tokens = 40, .do_sample = false});
  std::printf("held-out loss %.2f, %zu new tokens\n", trainer.evaluate()->loss, next.tokens.size());
}
