#pragma once

#include <cstdint>

#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/backend/cuda/runtime.hpp"
#include "moderngpt2/core/dtype.hpp"

// Entries of kernels/optimizer.cuh: plain data, all pointers to GPU memory.
namespace moderngpt2::cuda {

/// x (n) = value
template <class T>
struct Fill {
  T* x;
  std::int64_t n;
  T value;

  void launch(cudaStream_t stream) const;
};

/// to (n) = from, rounded to T
template <class T>
struct CastFromFloat {
  T* to;
  const float* from;
  std::int64_t n;

  void launch(cudaStream_t stream) const;
};

/// to (n) = from
template <class T>
struct CastToFloat {
  float* to;
  const T* from;
  std::int64_t n;

  void launch(cudaStream_t stream) const;
};

/// to (n) += from, float only
template <class T>
struct AddTo {
  T* to;
  const T* from;
  std::int64_t n;

  void launch(cudaStream_t stream) const;
};

/// Partial sums of squares of n elements of T: which elements a part has depends on n alone, so that the same n gives
/// the same bits on any GPU.
inline constexpr int most_square_parts = 1024, square_threads = 256;
template <class T>
int square_parts(std::int64_t n) {
  constexpr std::int64_t each = std::int64_t(square_threads) * 16 / std::int64_t(sizeof(T));
  const std::int64_t parts = (n + each - 1) / each;
  return parts < most_square_parts ? int(parts) : most_square_parts;
}

/// sum (1) (+)= the sum of x^2
template <class T>
struct SumOfSquares {
  const T* x;
  std::int64_t n;
  double* partial;  ///< scratch (square_parts<T>(n))
  double* sum;
  bool add;  ///< to what is there

  void launch(cudaStream_t stream) const;
};

/// to (1) += the sum of the values, each times its factor
template <class T>
struct AddLosses {
  static constexpr int most = 2;

  T* to;
  int count;
  const T* values[most];  ///< a number each
  T factors[most];

  void launch(cudaStream_t stream) const;
};

/// decision (1) = what follows by the rule from a step's loss (1) and the squares (1) of its gradients
template <class T>
struct DecideUpdate {
  const T *loss, *squares;
  UpdateRule rule;
  UpdateDecision* decision;

  void launch(cudaStream_t stream) const;
};

/// One step of AdamW on n weights in fp32: backend/calls.hpp's AdamWStep, worked out.
struct AdamWFactors {
  float gradient_scale;
  float beta1, rest1;  ///< rest: 1 - beta
  float beta2, rest2;
  float epsilon;
  float rate;  ///< learning rate / (1 - beta1^step)
  float root;  ///< 1 / sqrt(1 - beta2^step)
  float keep;  ///< 1 - learning rate * weight decay
};

template <class T>
struct AdamW {
  float *weight, *first, *second;  ///< (n)
  const float* gradient;           ///< (n)
  T* rounded;                      ///< (n) the new weights in T, or null
  std::int64_t n;
  const UpdateDecision* decision;  ///< (1) in place of factors.gradient_scale, or null
  AdamWFactors factors;

  void launch(cudaStream_t stream) const;
};

}  // namespace moderngpt2::cuda
