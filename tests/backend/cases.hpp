#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "moderngpt2/backend/cpu.hpp"
#include "moderngpt2/backend/reference.hpp"
#include "moderngpt2/core/memory.hpp"
#include "moderngpt2/core/scalar.hpp"
#include "moderngpt2/testing/numeric_checks.hpp"
#ifdef MODERNGPT2_CASES_ON_CUDA
#include "backend/cuda/device_tensors.hpp"
#endif

// One table of cases an operation, from which tests (against the reference in double) and benchmarks are made.
namespace moderngpt2::cases {

/// What an operation does with a tensor: reads it, writes every element of it, or adds to it.
enum class Role { input, output, added };

/// `full`: not rounded in a short precision either (gains, biases, logits, gradients of weights). `positive`: squares.
struct TensorSpec {
  Role role;
  std::int64_t size;
  double deviation = 1;
  bool full = false;
  bool positive = false;
};

/// The tensors of a case in one scalar type, with room before and after each to notice stray writes.
template <class T>
class Tensors {
 public:
  using Full = compute_t<T>;
  static constexpr int margin = 32;

  Tensors(const std::vector<TensorSpec>& specs, std::uint64_t seed) : specs_(specs) {
    for (std::size_t i = 0; i < specs.size(); ++i) {
      short_.push_back(specs[i].full ? FlatBuffer<T>() : make<T>(specs[i], mix64(seed) + i));
      full_.push_back(specs[i].full ? make<Full>(specs[i], mix64(seed) + i) : FlatBuffer<Full>());
    }
  }

  T* operator[](std::size_t i) const { return short_[i].data() + margin; }
  /// A tensor that was declared `full`.
  Full* full(std::size_t i) const { return full_[i].data() + margin; }
  std::int64_t size(std::size_t i) const { return specs_[i].size; }
  /// Ids, labels and tables that an operation takes beside its tensors, where its backend can read them.
  template <class E>
  const E* on_device(const E* data, std::size_t) const {
    return data;
  }
  std::size_t count() const { return specs_.size(); }
  bool written(std::size_t i) const { return specs_[i].role != Role::input; }
  /// f(first element), of whichever type the tensor is.
  template <class F>
  decltype(auto) visit(std::size_t i, F&& f) const {
    return specs_[i].full ? f(full(i)) : f((*this)[i]);
  }
  bool guards_stand() const {
    bool stand = true;
    for (std::size_t i = 0; i < count(); ++i)
      visit(i, [&]<class E>(const E* data) {
        for (int j = 1; j <= margin; ++j) stand = stand && data[-j] == E(guard) && data[size(i) + j - 1] == E(guard);
      });
    return stand;
  }
  /// What elements of type S can hold of the tensors that are not `full`.
  template <class S>
  void round_to() {
    for (std::size_t i = 0; i < count(); ++i)
      if (!specs_[i].full)
        for (std::int64_t j = 0; j < size(i); ++j) (*this)[i][j] = T(S(float((*this)[i][j])));
  }

 private:
  template <class E>
  static FlatBuffer<E> make(const TensorSpec& spec, std::uint64_t seed) {
    FlatBuffer<E> b(spec.size + 2 * margin);
    for (E& x : b) x = E(guard);
    if (spec.role == Role::output)  // a NaN that stays shows an element that was not written
      for (std::int64_t j = 0; j < spec.size; ++j) b[margin + j] = E(std::numeric_limits<compute_t<E>>::quiet_NaN());
    else
      fill_random(b.data() + margin, spec.size, seed, spec.deviation);
    if (spec.positive)
      for (std::int64_t j = 0; j < spec.size; ++j) b[margin + j] = E(b[margin + j] * b[margin + j]);
    return b;
  }

  static constexpr float guard = 12345.0f;
  std::vector<TensorSpec> specs_;
  std::vector<FlatBuffer<T>> short_;
  std::vector<FlatBuffer<Full>> full_;
};

/// One operation at one size.
struct Case {
  std::string name;
  std::vector<TensorSpec> tensors;
  std::function<double(reference::Backend&, const Tensors<double>&)> reference;  ///< returns a loss, or 0
  std::function<double(cpu::Backend&, const Tensors<float>&)> cpu;
  std::function<double(cpu::Backend&, const Tensors<bf16>&)> cpu_bf16;  ///< null: the operation has no short form
#ifdef MODERNGPT2_CASES_ON_CUDA
  std::function<double(cuda::Backend&, const DeviceTensors<float>&)> cuda;
  std::function<double(cuda::Backend&, const DeviceTensors<bf16>&)> cuda_bf16;
  std::function<double(cuda::Backend&, const DeviceTensors<f16>&)> cuda_f16;
#endif
  double tolerance = 2e-6;          ///< of the largest error relative to the largest magnitude
  bool any_thread_count = true;     ///< the same bits for any thread count are promised
  double flops = 0;                 ///< for benchmarks; 0: bound by memory
  std::vector<std::size_t> unread;  ///< outputs of which only parts are written
};

/// A case from one function f(backend, tensors) that works for all scalars and returns the loss, or nothing. With
/// `Short` false it is not called for bf16.
template <bool Short = true, class F>
Case make_case(std::string name, std::vector<TensorSpec> tensors, F f) {
  auto call = [f](auto& backend, const auto& t) -> double {
    if constexpr (std::is_void_v<decltype(f(backend, t))>)
      return f(backend, t), 0.0;
    else
      return f(backend, t);
  };
  Case c{.name = std::move(name),
         .tensors = std::move(tensors),
         .reference = call,
         .cpu = call,
         .cpu_bf16 = {},
#ifdef MODERNGPT2_CASES_ON_CUDA
         .cuda = call,
         .cuda_bf16 = {},
         .cuda_f16 = {},
#endif
         .unread = {}};
  if constexpr (Short) c.cpu_bf16 = call;
#ifdef MODERNGPT2_CASES_ON_CUDA
  if constexpr (Short) c.cuda_bf16 = call, c.cuda_f16 = call;
#endif
  return c;
}

/// The scalar of a set of tensors.
template <class Tensors>
using scalar_of = std::remove_pointer_t<decltype(std::declval<const Tensors&>()[0])>;

/// The type of its tensors that are declared `full`.
template <class Tensors>
using full_of = typename Tensors::Full;

/// Numbers in [0, bound) for ids and labels.
inline std::shared_ptr<const std::vector<int>> random_ids(int n, int bound, std::uint64_t seed) {
  auto ids = std::make_shared<std::vector<int>>();
  for (int i = 0; i < n; ++i) ids->push_back(int(uniform_at(seed, std::uint64_t(i)) * bound));
  return ids;
}

}  // namespace moderngpt2::cases
