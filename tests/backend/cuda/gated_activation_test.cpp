#define MODERNGPT2_CASES_ON_CUDA 1

#include <vector>

#include <doctest/doctest.h>

#include "backend/cases/gated_activation.hpp"
#include "backend/cuda/check_cuda_case.hpp"
#include "io/expect_error.hpp"
#include "moderngpt2/backend/cuda/scratch.hpp"

#ifdef MODERNGPT2_CUDA_SIMULATED  // for a GPU, nvcc compiles it
#include "backend/cuda/user_activations.cu"
#endif

using namespace moderngpt2;

namespace {

/// Functor without MODERNGPT2_CUDA_ACTIVATION.
struct WithoutKernels : test::Snake {
  static constexpr const char* name = "without_kernels";
};

#ifdef MODERNGPT2_CUDA_KERNELS
/// Another functor by the name of one that has kernels.
struct AnotherSnake : test::StarRelu {
  static constexpr const char* name = "snake";
};
#endif

}  // namespace

TEST_CASE("gated_activation on the GPU") { test::check_cuda_cases(cases::activation_cases()); }
TEST_CASE("gated_activation of a program on the GPU") { test::check_cuda_cases(cases::user_activation_cases()); }

TEST_CASE("an activation without kernels is an error that says what to compile") {
  cuda::Backend b;
  std::vector<float> numbers(4);
  const Rows<float> h(numbers.data(), 1, 1), gate_up(numbers.data() + 2, 1, 2);
  const char* expected = "activation_function without_kernels has no kernels for GPUs in this program";
  CHECK_ERROR(gated_activation(b, h, gate_up, WithoutKernels()), expected, "MODERNGPT2_CUDA_ACTIVATION");
  Config c;
  c.activation = register_activation<WithoutKernels>();
  CHECK_ERROR(gated_activation_backward(b, gate_up, h, gate_up, c.activation), expected);
  CHECK_ERROR(activation(b, h, h, c.activation), expected);
  const PassSize size{.batch = 1, .time = 1};
  CHECK_ERROR(cuda::pass_memory<bf16>(std::type_identity<cuda::Backend>(), c, size, 1), expected);
  CHECK_ERROR(cuda::reserve<float>(b, c, size), expected);
  c.summary_activation = c.activation, c.activation = register_activation<test::Snake>();
  CHECK_ERROR(cuda::reserve<float>(b, c, size), expected);
}

#ifdef MODERNGPT2_CUDA_KERNELS
TEST_CASE("kernels of a functor are registered once, and not for another functor of its name") {
  CHECK(cuda::add_activation_kernels<test::Snake>());
  CHECK_ERROR(cuda::add_activation_kernels<AnotherSnake>(), "two functors are named \"snake\"");
}
#endif
