#pragma once

#include <cstdint>

#include "moderngpt2/core/view.hpp"

// A layer names each of its parameters once, in `describe(params, visitor)`:
//   visitor.matrix("weight", params.weight, rows, cols, Init::normal);   // decayed
//   visitor.vector("bias", params.bias, size);                           // norms and biases: start at 0, not decayed
//   visitor.nested("q_proj", layer, params.q_proj);                      // names joined with dots
// Counting, binding to memory, naming and initialising are different visitors.
namespace moderngpt2 {

/// Distribution of a matrix before training: N(0, initializer_range), or that divided by sqrt(2 n_layer) for the
/// products that end a half block.
enum class Init : unsigned char { normal, scaled_normal };

/// Every tensor starts at a multiple of this many elements of its flat buffer.
inline constexpr std::int64_t parameter_alignment = 64;

constexpr std::int64_t padded_size(std::int64_t n) {
  return (n + parameter_alignment - 1) / parameter_alignment * parameter_alignment;
}

/// Sizes of the two groups: exact elements, and elements with padding.
struct CountParameters {
  std::int64_t elements = 0;
  std::int64_t matrices = 0;
  std::int64_t vectors = 0;

  constexpr void matrix(const char*, auto&, int rows, int cols, Init) {
    elements += std::int64_t(rows) * cols;
    matrices += padded_size(std::int64_t(rows) * cols);
  }
  constexpr void vector(const char*, auto&, int size) {
    elements += size;
    vectors += padded_size(size);
  }
  constexpr void nested(const char*, const auto& layer, auto& params) { layer.describe(params, *this); }
};

/// Sets the views of a layer's Params to consecutive places of the two flat buffers.
template <class MatrixElement, class VectorElement>
struct BindParameters {
  MatrixElement* matrices;
  VectorElement* vectors;

  void matrix(const char*, Matrix<MatrixElement>& view, int rows, int cols, Init) {
    view = {matrices, rows, cols};
    matrices += padded_size(view.size());
  }
  void vector(const char*, Vector<VectorElement>& view, int size) {
    view = {vectors, size};
    vectors += padded_size(size);
  }
  void nested(const char*, const auto& layer, auto& params) { layer.describe(params, *this); }
};

}  // namespace moderngpt2
