#pragma once

#include <bit>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "moderngpt2/backend/cpu.hpp"
#ifdef MODERNGPT2_CUDA_SIMULATED
#include "moderngpt2/backend/cuda.hpp"
#endif

// Backends whose hardware makes errors, for tests of what training does then.
namespace moderngpt2::test {

/// Damage to one element of the result of an operation.
struct Fault {
  std::string operation{};
  int call = 0;   ///< first damaged call of the operation, counted from 0 since FaultPlan::set()
  int count = 1;  ///< number of damaged calls
  int row = 1, column = 3;
  std::uint32_t flipped = 1u << 20;  ///< bits of the element that flip; 0: it becomes NaN
};

/// Changes an element (float).
inline void damage(float& x, std::uint32_t flipped) {
  x = flipped ? std::bit_cast<float>(std::bit_cast<std::uint32_t>(x) ^ flipped)
              : std::numeric_limits<float>::quiet_NaN();
}

/// Faults of one model's backend. Threads: that of the model.
class FaultPlan {
 public:
  /// Replaces the faults and counts calls from 0.
  void set(std::vector<Fault> faults) { faults_ = std::move(faults), calls_.clear(); }
  /// Calls of an operation, named by a literal, since set().
  int calls(const char* operation) { return calls_[operation]; }
  /// Number of damaged results.
  int hits() const { return hits_; }

  /// Counts a call. Returns its fault; null: none.
  const Fault* next(const char* operation) {
    const int call = calls_[operation]++;
    for (const Fault& fault : faults_)
      if (fault.operation == operation && call >= fault.call && call < fault.call + fault.count) {
        ++hits_;
        return &fault;
      }
    return nullptr;
  }

 private:
  std::vector<Fault> faults_;
  std::map<std::string_view, int> calls_;
  int hits_ = 0;
};

/// Backend `Base` with faults in its products, activations or gradients of the embedding.
template <class Base>
class Faulty : public Base {
 public:
  using Base::Base;
  Faulty() = default;
  Faulty(Base&& base) : Base(std::move(base)) {}
  std::shared_ptr<FaultPlan> faults = std::make_shared<FaultPlan>();

  /// Damages the result of an operation, whose rows are `stride` elements apart, if the plan says so.
  void after(const char* operation, float* data, std::int64_t stride) {
    const Fault* const fault = faults->next(operation);
    if (!fault) return;
    float* const x = data + fault->row * stride + fault->column;
#ifdef MODERNGPT2_CUDA_SIMULATED
    if constexpr (std::is_same_v<Base, cuda::Backend>) {
      simt::device().enqueue(simt::detail::stream_of(this->stream()),
                             {.run = [x, flipped = fault->flipped] { damage(*x, flipped); }});
      return;
    }
#endif
    damage(*x, fault->flipped);
  }
};

#ifdef MODERNGPT2_CUDA_SIMULATED
inline Faulty<cuda::Backend> new_context(const Faulty<cuda::Backend>& b) {
  return new_context(static_cast<const cuda::Backend&>(b));
}
#endif

template <class T>
std::int64_t stride_of(const Rows<T>& rows) {
  return rows.stride;
}
template <class T>
std::int64_t stride_of(const Matrix<T>& matrix) {
  return matrix.cols;
}

#define MODERNGPT2_FAULTY(operation)                                         \
  template <class Base, class Result, class... Arguments>                    \
  void operation(Faulty<Base>& b, Result result, Arguments&&... a) {         \
    operation(static_cast<Base&>(b), result, std::forward<Arguments>(a)...); \
    b.after(#operation, result.data, stride_of(result));                     \
  }
MODERNGPT2_FAULTY(matmul)
MODERNGPT2_FAULTY(matmul_backward_weight)
MODERNGPT2_FAULTY(gated_activation)
MODERNGPT2_FAULTY(embedding_backward)
#undef MODERNGPT2_FAULTY

}  // namespace moderngpt2::test
