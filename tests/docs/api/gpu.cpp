#include <cstdio>
#include <vector>

#include <moderngpt2/backend/cuda.hpp>
#include <moderngpt2/moderngpt2.hpp>

using namespace moderngpt2;

int main() {
  using Model = CausalLM<any_shape, cuda::Backend, Bf16>;         // Fp32, Bf16 or Fp16
  Model model = load_model<Model>("my_model", cuda::Backend(0));  // GPU 0
  std::vector<int> ids{5, 6, 7, 8, 9, 10, 11, 12};                // ids and labels are in host memory
  auto work = model.workspace(1, 8, Mode::train);                 // weights, activations and gradients on the GPU
  auto gradients = model.make_gradients();
  ModelOptimizer optimizer(model, {});
  for (int step = 0; step < 3; ++step) {
    set_to_zero(model.backend(), gradients);
    const auto loss = model.loss_and_gradients(work, ids, ids, gradients, {.batch = 1, .time = 8});
    optimizer.step(model, gradients, 1e-3);
    std::printf("loss %.3f\n", double(loss));  // waits for the GPU
  }
  const auto next = generate(model, ids, {.max_new_tokens = 8});
  std::printf("%zu new tokens\n", next.tokens.size());
  return 0;
}
