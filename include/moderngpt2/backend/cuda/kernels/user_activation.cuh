#pragma once

// Before the first #include: keeps nvcc from compiling the library's kernels here once more.
#define MODERNGPT2_CUDA_USER_KERNELS

#include <deque>
#include <mutex>
#include <string_view>
#include <tuple>

#include "moderngpt2/backend/activation.hpp"
#include "moderngpt2/backend/cuda/kernels/gated_activation.cuh"
#include "moderngpt2/backend/cuda/kernels/heads.cuh"
#include "moderngpt2/backend/cuda/runtime.hpp"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/dtype.hpp"
#include "moderngpt2/core/error.hpp"

// Kernels of activations that are not built in. A source file that nvcc compiles,
//
//   #include "moderngpt2/backend/cuda/kernels/user_activation.cuh"
//   #include "star_relu.hpp"  // the functor; its `at` is MODERNGPT2_HOST_DEVICE
//   MODERNGPT2_CUDA_ACTIVATION(StarRelu);
//
// contains the kernels of the functor for fp32, bf16 and fp16, and adds their launchers to a table when the program
// starts. Operations find them by the functor's name. Link the object file into the program itself: a linker leaves it
// out of a static library in which nothing else refers to it.
namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI {

/// Functions that launch the kernels of one activation on elements of type T.
template <class T>
struct ActivationLaunchers {
  void (*gated)(const GatedActivation<T>&, cudaStream_t);
  void (*gated_backward)(const GatedActivationBackward<T>&, cudaStream_t);
  void (*rows)(const ActivateRows<T>&, cudaStream_t);
};

/// Table of the launchers of users' activations, by name. Its functions may be called from any thread.
class UserActivationKernels {
 public:
  struct Row {
    std::string_view name;
    std::tuple<ActivationLaunchers<float>, ActivationLaunchers<bf16>, ActivationLaunchers<f16>> launchers;
  };

  static UserActivationKernels& instance() {
    static UserActivationKernels table;
    return table;
  }
  /// Adds the kernels of an activation, once. `row.name` must live as long as the process. Throws Error if the name has
  /// other kernels.
  bool add(const Row& row) {
    const std::lock_guard lock(mutex_);
    const Row* known = find(row.name);
    if (known && std::get<0>(known->launchers).gated != std::get<0>(row.launchers).gated)
      throw Error("MODERNGPT2_CUDA_ACTIVATION: two functors are named \"{}\". Rename one.", row.name);
    if (!known) rows_.push_back(row);
    return true;
  }
  /// Launchers for elements of type T. Throws Error if the activation has no kernels in this program.
  template <class T>
  const ActivationLaunchers<T>& get(std::string_view name) {
    const std::lock_guard lock(mutex_);
    if (const Row* row = find(name)) return std::get<ActivationLaunchers<T>>(row->launchers);
    throw Error(
        "activation_function {} has no kernels for GPUs in this program: compile a file with "
        "MODERNGPT2_CUDA_ACTIVATION of its functor by nvcc and link it",
        name);
  }

 private:
  const Row* find(std::string_view name) const {
    for (const Row& row : rows_)
      if (row.name == name) return &row;
    return nullptr;
  }
  std::deque<Row> rows_;  // references stay valid
  std::mutex mutex_;
};

namespace detail {

/// Value that kernels get for an activation: a functor's kernels need none.
inline Activation kernel_choice(Activation a) { return a; }
template <class A>
Activation kernel_choice(A) {
  return Activation::dynamic;
}

/// Launchers of a registered activation or a functor; null for a built-in one. Throws Error if it has no kernels.
template <class T>
const ActivationLaunchers<T>* user_launchers(Activation a) {
  return is_registered(a) ? &UserActivationKernels::instance().get<T>(activation_name(a)) : nullptr;
}
template <class T, class A>
const ActivationLaunchers<T>* user_launchers(A) {
  return &UserActivationKernels::instance().get<T>(A::name);
}

}  // namespace detail

#ifdef MODERNGPT2_CUDA_KERNELS

namespace detail {

template <class A, class T>
inline constexpr ActivationLaunchers<T> activation_launchers{launch_formula<A, T>, launch_formula<A, T>,
                                                             launch_formula<A, T>};

}  // namespace detail

/// Adds the kernels of the functor A to the table; true. Used by MODERNGPT2_CUDA_ACTIVATION.
template <class A>
bool add_activation_kernels() {
  static_assert(moderngpt2::detail::require_activation_functor<A>());
  return UserActivationKernels::instance().add(
      {A::name,
       {detail::activation_launchers<A, float>, detail::activation_launchers<A, bf16>,
        detail::activation_launchers<A, f16>}});
}

#endif  // MODERNGPT2_CUDA_KERNELS

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI

/// Compiles the kernels of an activation functor, and registers them when the program starts. Stands at namespace
/// scope, once for each functor, in a file that nvcc compiles (with the simulated GPU: the C++ compiler).
#define MODERNGPT2_CUDA_ACTIVATION(...)                                                   \
  [[maybe_unused]] static const bool MODERNGPT2_NAME_OF_ACTIVATION_KERNELS(__COUNTER__) = \
      ::moderngpt2::cuda::add_activation_kernels<__VA_ARGS__>()
#define MODERNGPT2_NAME_OF_ACTIVATION_KERNELS(n) MODERNGPT2_JOIN_ACTIVATION_KERNELS(n)
#define MODERNGPT2_JOIN_ACTIVATION_KERNELS(n) moderngpt2_activation_kernels_##n
