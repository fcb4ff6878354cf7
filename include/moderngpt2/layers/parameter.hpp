#pragma once

#include <cstdint>

#include "moderngpt2/core/view.hpp"

// A layer lists its parameters once, in `describe(params, visitor)`:
//   visitor.matrix("weight", params.weight, rows, cols, Init::normal);   // with weight decay
//   visitor.vector("bias", params.bias, size, Init::zeros);              // no weight decay; zeros is the default
//   visitor.nested("q_proj", layer, params.q_proj);                      // a layer within; names are joined with dots
// Visitors count parameters, bind them to memory, name them and initialize them.
namespace moderngpt2 {

/// Initial values of a parameter: normal is N(0, initializer_range^2); scaled_normal divides the standard deviation by
/// sqrt(2 n_layer), for projections into the residual stream (Radford et al. 2019); zeros and ones are constants.
enum class Init : unsigned char { normal, scaled_normal, zeros, ones };

/// Alignment of tensors in flat buffers, in elements.
inline constexpr std::int64_t parameter_alignment = 64;

/// Number of elements, padding included, of a tensor of `n` elements in a flat buffer.
constexpr std::int64_t padded_size(std::int64_t n) {
  return (n + parameter_alignment - 1) / parameter_alignment * parameter_alignment;
}

/// Visitor that counts parameters: exact elements, and padded elements of the two flat buffers.
struct CountParameters {
  std::int64_t elements = 0;
  std::int64_t matrices = 0;
  std::int64_t vectors = 0;
  std::int64_t matrix_elements = 0;  ///< exact elements of the matrices
  int longest_vector = 0;

  constexpr void matrix(const char*, auto&, int rows, int cols, Init = Init::normal) {
    elements += std::int64_t(rows) * cols;
    matrix_elements += std::int64_t(rows) * cols;
    matrices += padded_size(std::int64_t(rows) * cols);
  }
  constexpr void vector(const char*, auto&, int size, Init = Init::zeros) {
    elements += size;
    vectors += padded_size(size);
    if (size > longest_vector) longest_vector = size;
  }
  constexpr void nested(const char*, const auto& layer, auto& params) { layer.describe(params, *this); }
};

/// Visitor that points the views of a layer's Params at consecutive ranges of the two flat buffers.
template <class MatrixElement, class VectorElement>
struct BindParameters {
  pointer_to<MatrixElement> matrices;
  VectorElement* vectors;

  void matrix(const char*, Matrix<MatrixElement>& view, int rows, int cols, Init = Init::normal) {
    view = {matrices, rows, cols};
    matrices += padded_size(view.size());
  }
  void vector(const char*, Vector<VectorElement>& view, int size, Init = Init::zeros) {
    view = {vectors, size};
    vectors += padded_size(size);
  }
  void nested(const char*, const auto& layer, auto& params) { layer.describe(params, *this); }
};

}  // namespace moderngpt2
