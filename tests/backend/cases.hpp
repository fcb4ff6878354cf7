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
#include "moderngpt2/testing/gradient_check.hpp"

// One table of cases an operation, from which tests (against the reference in double) and benchmarks are made.
namespace moderngpt2::cases {

/// What an operation does with a tensor: reads it, writes every element of it, or adds to it.
enum class Role { input, output, added };

struct TensorSpec {
  Role role;
  std::int64_t size;
  double deviation = 1;
};

/// The tensors of a case in one scalar type, with room before and after each to notice stray writes.
template <class T>
class Tensors {
 public:
  static constexpr int margin = 32;

  Tensors(const std::vector<TensorSpec>& specs, std::uint64_t seed) : specs_(specs) {
    for (std::size_t i = 0; i < specs.size(); ++i) {
      FlatBuffer<T> b(specs[i].size + 2 * margin);
      for (T& x : b) x = T(guard);
      if (specs[i].role == Role::output)  // a NaN that stays shows an element that was not written
        for (std::int64_t j = 0; j < specs[i].size; ++j) b[margin + j] = std::numeric_limits<T>::quiet_NaN();
      else
        fill_random(b.data() + margin, specs[i].size, mix64(seed) + i, specs[i].deviation);
      buffers_.push_back(std::move(b));
    }
  }

  T* operator[](std::size_t i) const { return buffers_[i].data() + margin; }
  std::int64_t size(std::size_t i) const { return specs_[i].size; }
  std::size_t count() const { return specs_.size(); }
  bool written(std::size_t i) const { return specs_[i].role != Role::input; }
  bool guards_stand() const {
    for (const auto& b : buffers_)
      for (int i = 0; i < margin; ++i)
        if (b[i] != T(guard) || b[b.size() - 1 - i] != T(guard)) return false;
    return true;
  }

 private:
  static constexpr float guard = 12345.0f;
  std::vector<TensorSpec> specs_;
  std::vector<FlatBuffer<T>> buffers_;
};

/// One operation at one size.
struct Case {
  std::string name;
  std::vector<TensorSpec> tensors;
  std::function<double(reference::Backend&, const Tensors<double>&)> reference;  ///< returns a loss, or 0
  std::function<double(cpu::Backend&, const Tensors<float>&)> cpu;
  double tolerance = 2e-6;          ///< of the largest error relative to the largest magnitude
  bool any_thread_count = true;     ///< the same bits for any thread count are promised
  double flops = 0;                 ///< for benchmarks; 0: bound by memory
  std::vector<std::size_t> unread;  ///< outputs of which only parts are written
};

/// A case from one function f(backend, tensors) that works for both backends and returns the loss, or nothing.
template <class F>
Case make_case(std::string name, std::vector<TensorSpec> tensors, F f) {
  auto call = [f](auto& backend, const auto& t) -> double {
    if constexpr (std::is_void_v<decltype(f(backend, t))>)
      return f(backend, t), 0.0;
    else
      return f(backend, t);
  };
  return {.name = std::move(name), .tensors = std::move(tensors), .reference = call, .cpu = call, .unread = {}};
}

/// The scalar of a set of tensors.
template <class Tensors>
using scalar_of = std::remove_pointer_t<decltype(std::declval<const Tensors&>()[0])>;

/// Numbers in [0, bound) for ids and labels.
inline std::shared_ptr<const std::vector<int>> random_ids(int n, int bound, std::uint64_t seed) {
  auto ids = std::make_shared<std::vector<int>>();
  for (int i = 0; i < n; ++i) ids->push_back(int(uniform_at(seed, std::uint64_t(i)) * bound));
  return ids;
}

}  // namespace moderngpt2::cases
