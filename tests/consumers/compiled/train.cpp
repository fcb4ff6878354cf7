// A second file of the program: its functions and kernels are in moderngpt2::compiled.
#include "moderngpt2/moderngpt2.hpp"

double step(const moderngpt2::Config& config, const int* ids) {
  moderngpt2::CausalLM<moderngpt2::any_shape> model(config);
  model.initialize(1);
  auto work = model.workspace(1, 16, moderngpt2::Mode::train);
  auto gradients = model.make_gradients();
  return model.loss_and_gradients(work, ids, {ids}, gradients, {.batch = 1, .time = 16});
}
