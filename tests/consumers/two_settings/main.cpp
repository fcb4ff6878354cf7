#include <cstdio>

#include "model.hpp"

int main() {
  moderngpt2::Config config;
  config.vocab_size = 50, config.n_positions = 64, config.n_layer = 2, config.n_embd = 64, config.n_inner = 128;
  config.n_head = 4, config.n_kv_head = 2, config.head_dim = 16;
  Model model(config);
  model.initialize(1);
  std::printf("%zu tokens\n", continue_text(model).size());
}
