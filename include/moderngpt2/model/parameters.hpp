#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/backend/host.hpp"
#include "moderngpt2/core/memory.hpp"
#include "moderngpt2/core/quantized_matrix.hpp"
#include "moderngpt2/core/view.hpp"
#include "moderngpt2/layers/parameter.hpp"
#include "moderngpt2/model/unit.hpp"

namespace moderngpt2 {

/// Name, shape and offset in its flat buffer of one parameter tensor.
struct ParameterInfo {
  std::string name;
  std::vector<std::int64_t> shape;  ///< two dimensions: in the buffer of matrices (weight decay); one: of vectors
  std::int64_t offset = 0;          ///< elements from the start of its buffer
  std::int64_t size = 0;            ///< elements, without padding
  Init init = Init::normal;

  bool is_matrix() const { return shape.size() == 2; }
};

/// Visitor that lists all parameters with full name, shape and offset.
class ListParameters {
 public:
  void matrix(const char* name, auto&, int rows, int cols, Init init = Init::normal) {
    const std::int64_t size = std::int64_t(rows) * cols;
    table.push_back({prefix_ + name, {rows, cols}, matrices_, size, init});
    matrices_ += padded_size(size);
  }
  void vector(const char* name, auto&, int size, Init init = Init::zeros) {
    table.push_back({prefix_ + name, {size}, vectors_, size, init});
    vectors_ += padded_size(size);
  }
  void nested(const std::string& name, const auto& layer, auto& params) {
    const std::size_t length = prefix_.size();
    prefix_ += name + '.';
    layer.describe(params, *this);
    prefix_.resize(length);
  }

  std::vector<ParameterInfo> table;

 private:
  std::string prefix_;
  std::int64_t matrices_ = 0;
  std::int64_t vectors_ = 0;
};

/// Weights, gradients or optimizer moments of a whole model: two flat, zero-filled buffers. `matrices` holds wte, the
/// blocks and the head, `vectors` norms and biases in the same order. Memory: type that owns the memory (host, device).
template <class E, class Memory = AlignedBuffer>
struct ParameterBuffers {
  FlatBuffer<typename E::MatrixType, Memory> matrices;
  FlatBuffer<typename E::VectorType, Memory> vectors;

  ParameterBuffers() = default;
  ParameterBuffers(std::int64_t matrix_elements, std::int64_t vector_elements)
      : matrices(matrix_elements), vectors(vector_elements) {}
  /// `pages`: how the memory of the matrices is allocated.
  ParameterBuffers(std::int64_t matrix_elements, std::int64_t vector_elements, Pages pages)
      : matrices(matrix_elements, pages), vectors(vector_elements) {}

  /// Whether both buffers have as many elements as those of another set.
  template <class Other>
  bool has_sizes_of(const Other& other) const {
    return matrices.size() == other.matrices.size() && vectors.size() == other.vectors.size();
  }
  /// First element of a tensor; requires both buffers to have the same element type.
  auto* at(const ParameterInfo& p) const {
    return p.is_matrix() ? matrices.data() + p.offset : vectors.data() + p.offset;
  }
};

/// Pointers to the flat buffers of a ParameterBuffers, or to two separate buffers, in a backend's memory. Owns nothing.
template <class E>
struct ParameterPlaces {
  pointer_to<typename E::MatrixType> matrices = nullptr;
  typename E::VectorType* vectors = nullptr;

  ParameterPlaces(pointer_to<typename E::MatrixType> m, typename E::VectorType* v) : matrices(m), vectors(v) {}
  template <class Memory>
  ParameterPlaces(const ParameterBuffers<E, Memory>& b) : matrices(b.matrices.data()), vectors(b.vectors.data()) {}

  /// Returns f(pointer to the first element of a tensor); f accepts the element types of both buffers.
  template <class F>
  decltype(auto) visit(const ParameterInfo& p, F&& f) const {
    return p.is_matrix() ? f(matrices + p.offset) : f(vectors + p.offset);
  }
};

/// Fills a parameter piece by piece: calls write(first, n, host array of n) for elements [first, first + n).
template <class B, class E, class F>
void write_parameter(B& b, E* to, const ParameterInfo& p, F&& write) {
  write_pieces(b, to, p.size, write);
}
/// Fills a quantized matrix: pieces are floats, at most about 4 MiB. Throws an Error that names the parameter if a
/// value is not finite.
template <OnHost B, class Block, class F>
void write_parameter(B& b, QuantizedPointer<Block> to, const ParameterInfo& p, F&& write) {
  quantize_matrix(Matrix<QuantizedValue<Block>>{to, int(p.shape[0]), int(p.shape[1])}, p.name, b.threads(), write);
}

/// Default hook of a backward pass: does nothing. A hook is called with each unit when the gradients of its matrices
/// are complete: first the head, then the half blocks from last to first. Gradients of the embedding, of norms and of
/// biases are complete when the pass returns.
struct NoGradientHook {
  void operator()(Unit) const {}
};

/// Sets gradients to 0 before the first backward pass of a step: backward passes add to them.
template <class B, class E, class Memory>
void set_to_zero(B& backend, ParameterBuffers<E, Memory>& buffers) {
  fill(backend, buffers.matrices.data(), buffers.matrices.size(), typename E::MatrixType(0));
  fill(backend, buffers.vectors.data(), buffers.vectors.size(), typename E::VectorType(0));
}

}  // namespace moderngpt2
