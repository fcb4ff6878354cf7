// The example of version 0.1's README. docs/library.md lists what version 0.2 changes.
#include <cstdio>

#include <moderngpt2/moderngpt2.hpp>

using namespace moderngpt2;

constexpr ModelShape shape{.n_layer = 2, .n_embd = 64, .n_head = 4, .n_kv_head = 2, .head_dim = 16, .n_inner = 256};

int main() {
  Config config;  // the fields of config.json; those that the shape gives must agree with it
  config.n_layer = 2, config.n_embd = 64, config.n_head = 4, config.n_kv_head = 2, config.head_dim = 16;
  config.n_inner = 256, config.vocab_size = 256;
  CausalLM<shape> model(config);  // or load_model<CausalLM<any_shape>>("folder")
  model.initialize(42);

  const int ids[]{72, 101, 108, 108, 111, 44, 32, 119, 111, 114, 108, 100};
  auto work = model.workspace(1, 12, Mode::train);  // all activations, planned once
  auto gradients = model.make_gradients();
  const double loss = model.loss_and_gradients(work, ids, {ids}, gradients, {.batch = 1, .time = 12});
  const auto next = generate(model, ids, {.max_new_tokens = 8, .do_sample = false});
  std::printf("%ld parameters, loss %.3f, %zu new tokens\n", long(model.parameter_count()), loss, next.tokens.size());
}
