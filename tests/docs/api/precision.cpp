#include <cstdio>
#include <vector>

#include <moderngpt2/moderngpt2.hpp>

using namespace moderngpt2;

int main() {
  using Model = CausalLM<any_shape, cpu::Backend, Bf16>;  // matrices and activations in bf16
  Model model = load_model<Model>("my_model");            // files of any precision are converted
  const std::vector<int> ids{5, 6, 7, 8, 9, 10, 11, 12};
  auto work = model.workspace(1, 8, Mode::train);
  auto gradients = model.make_gradients();  // fp32
  ModelOptimizer optimizer(model, {});      // fp32 master weights
  for (int step = 0; step < 3; ++step) {
    set_to_zero(model.backend(), gradients);
    const double loss = model.loss_and_gradients(work, ids, ids, gradients, {.batch = 1, .time = 8});
    optimizer.step(model, gradients, 1e-3);
    std::printf("loss %.3f\n", loss);
  }
  return 0;
}
