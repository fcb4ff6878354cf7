#pragma once

namespace moderngpt2 {

/// Element types of one set of parameters: matrices (decayed) and vectors (norms and biases, not decayed).
template <class MatrixElement, class VectorElement = MatrixElement>
struct Elements {
  using MatrixType = MatrixElement;
  using VectorType = VectorElement;
};

/// A precision by its name. Not every device has each: tf32 and fp16 are for GPUs.
enum class PrecisionName : unsigned char { fp32, tf32, bf16, fp16 };

constexpr const char* precision_name(PrecisionName precision) {
  constexpr const char* names[] = {"fp32", "tf32", "bf16", "fp16"};
  return names[int(precision)];
}

constexpr bool needs_gpu(PrecisionName precision) {
  return precision == PrecisionName::tf32 || precision == PrecisionName::fp16;
}
/// What to take instead on a CPU.
constexpr PrecisionName cpu_precision(PrecisionName precision) {
  if (precision == PrecisionName::tf32) return PrecisionName::fp32;
  return precision == PrecisionName::fp16 ? PrecisionName::bf16 : precision;
}

/// Single precision throughout.
struct Fp32 {
  using Activation = float;
  using Weights = Elements<float>;
  using Gradients = Elements<float>;
};

/// Any scalar, for the reference backend: double, or std::complex<double> for complex-step gradient checks.
template <class T>
struct Exact {
  using Activation = T;
  using Weights = Elements<T>;
  using Gradients = Elements<T>;
};

}  // namespace moderngpt2
