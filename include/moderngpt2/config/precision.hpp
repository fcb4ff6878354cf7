#pragma once

#include <array>
#include <cstddef>
#include <string_view>
#include <utility>

#include "moderngpt2/core/dtype.hpp"
#include "moderngpt2/core/quantized_matrix.hpp"

namespace moderngpt2 {

/// Element types of one set of parameters: matrices (decayed) and vectors (norms and biases, not decayed).
template <class MatrixElement, class VectorElement = MatrixElement>
struct Elements {
  using MatrixType = MatrixElement;
  using VectorType = VectorElement;
};

/// Names of precisions. tf32 and fp16 need a GPU.
enum class PrecisionName : unsigned char { fp32, tf32, bf16, fp16 };

/// "fp32", "tf32", "bf16" or "fp16".
constexpr const char* precision_name(PrecisionName precision) {
  constexpr const char* names[] = {"fp32", "tf32", "bf16", "fp16"};
  return names[int(precision)];
}

/// Words of the values on a command line.
constexpr auto words_of(PrecisionName) {
  std::array<std::pair<std::string_view, PrecisionName>, 4> words;
  for (int i = 0; i < 4; ++i) words[std::size_t(i)] = {precision_name(PrecisionName(i)), PrecisionName(i)};
  return words;
}

constexpr bool needs_gpu(PrecisionName precision) {
  return precision == PrecisionName::tf32 || precision == PrecisionName::fp16;
}
/// The nearest precision that a CPU supports.
constexpr PrecisionName cpu_precision(PrecisionName precision) {
  if (precision == PrecisionName::tf32) return PrecisionName::fp32;
  return precision == PrecisionName::fp16 ? PrecisionName::bf16 : precision;
}

/// Precision of a model: fp32 throughout.
struct Fp32 {
  using Activation = float;
  using Weights = Elements<float>;
  using Gradients = Elements<float>;
};

/// Precision of a model: bf16 for activations and matrices; fp32 for norms, biases, weight gradients and accumulation.
struct Bf16 {
  using Activation = bf16;
  using Weights = Elements<bf16, float>;
  using Gradients = Elements<float>;
};

/// Precision of a model: fp16 for activations and matrices, otherwise like Bf16. GPUs only.
struct Fp16 {
  using Activation = f16;
  using Weights = Elements<f16, float>;
  using Gradients = Elements<float>;
};

/// Precision of a model for evaluation and generation on a CPU: matrices of quantized blocks, the embedding included;
/// fp32 for activations, norms and biases. Block: BlockQ8_0 or BlockQ4_0. Rows of all matrices need a multiple of 32
/// values. Such models cannot be trained or saved.
template <class Block>
struct Quantized {
  using Activation = float;
  using Weights = Elements<QuantizedValue<Block>, float>;
  using Gradients = Elements<float>;
};

/// Formats of quantized matrices.
enum class WeightFormat : unsigned char { q8_0, q4_0 };

/// "q8_0" or "q4_0".
constexpr std::string_view weight_format_name(WeightFormat format) {
  return format == WeightFormat::q8_0 ? BlockQ8_0::name : BlockQ4_0::name;
}

/// Words of the values on a command line.
constexpr auto words_of(WeightFormat) {
  return std::array<std::pair<std::string_view, WeightFormat>, 2>{
      {{BlockQ8_0::name, WeightFormat::q8_0}, {BlockQ4_0::name, WeightFormat::q4_0}}};
}

/// Returns f(Quantized<Block>{}) for q8_0 or q4_0.
template <class F>
decltype(auto) with_quantized(WeightFormat format, F&& f) {
  if (format == WeightFormat::q4_0) return f(Quantized<BlockQ4_0>{});
  return f(Quantized<BlockQ8_0>{});
}

/// Returns f(Fp32{}), f(Bf16{}) or f(Fp16{}) for a model on a GPU. tf32 selects Fp32; the backend then rounds the
/// operands of matrix products (use_tf32).
template <class F>
decltype(auto) with_precision(PrecisionName name, F&& f) {
  if (name == PrecisionName::bf16) return f(Bf16{});
  if (name == PrecisionName::fp16) return f(Fp16{});
  return f(Fp32{});
}

/// Precision of a reference model: scalar T throughout, double, or std::complex<double> for complex-step gradient
/// checks.
template <class T>
struct Exact {
  using Activation = T;
  using Weights = Elements<T>;
  using Gradients = Elements<T>;
};

}  // namespace moderngpt2
