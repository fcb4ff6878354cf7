#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/backend/host.hpp"
#include "moderngpt2/core/memory.hpp"
#include "moderngpt2/layers/parameter.hpp"

namespace moderngpt2 {

/// One named tensor of a model and where it lies in its flat buffer.
struct ParameterInfo {
  std::string name;
  std::vector<std::int64_t> shape;  ///< two dimensions: in the matrices (decayed); one: in the vectors
  std::int64_t offset = 0;          ///< elements from the start of its buffer
  std::int64_t size = 0;
  Init init = Init::normal;

  bool is_matrix() const { return shape.size() == 2; }
};

/// Visitor that lists every parameter with its full name, shape and place.
class ListParameters {
 public:
  void matrix(const char* name, auto&, int rows, int cols, Init init) {
    const std::int64_t size = std::int64_t(rows) * cols;
    table.push_back({prefix_ + name, {rows, cols}, matrices_, size, init});
    matrices_ += padded_size(size);
  }
  void vector(const char* name, auto&, int size) {
    table.push_back({prefix_ + name, {size}, vectors_, size, Init::normal});
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

/// Weights, gradients or moments of a whole model: two flat, zero-filled buffers in one canonical order. Matrices:
/// wte, then the blocks, then the head; vectors: norms and biases in the same order.
template <class E, class Memory = AlignedBuffer>
struct ParameterBuffers {
  FlatBuffer<typename E::MatrixType, Memory> matrices;
  FlatBuffer<typename E::VectorType, Memory> vectors;

  ParameterBuffers() = default;
  ParameterBuffers(std::int64_t matrix_elements, std::int64_t vector_elements)
      : matrices(matrix_elements), vectors(vector_elements) {}
  /// `pages`: of the matrices.
  ParameterBuffers(std::int64_t matrix_elements, std::int64_t vector_elements, Pages pages)
      : matrices(matrix_elements, pages), vectors(vector_elements) {}

  /// First element of a tensor, as `T` whichever buffer holds it; only where both have the same element type.
  auto* at(const ParameterInfo& p) const {
    return p.is_matrix() ? matrices.data() + p.offset : vectors.data() + p.offset;
  }
};

/// The same as places only: the buffers may belong to different owners. They lie where a backend has them.
template <class E>
struct ParameterPlaces {
  typename E::MatrixType* matrices = nullptr;
  typename E::VectorType* vectors = nullptr;

  ParameterPlaces(typename E::MatrixType* m, typename E::VectorType* v) : matrices(m), vectors(v) {}
  template <class Memory>
  ParameterPlaces(const ParameterBuffers<E, Memory>& b) : matrices(b.matrices.data()), vectors(b.vectors.data()) {}

  /// f(first element of a tensor), of whichever type its buffer is.
  template <class F>
  decltype(auto) visit(const ParameterInfo& p, F&& f) const {
    return p.is_matrix() ? f(matrices + p.offset) : f(vectors + p.offset);
  }
};

/// Told about each unit of a model once a backward pass has added all gradients of its matrices: the head (1 +
/// half blocks) first, then half block k as 1 + k from the last to the first. Those of the embedding (0) and of all
/// norms and biases are there when the pass returns.
struct NoGradientHook {
  void operator()(int) const {}
};

/// What gradients must be before the first backward pass of a step, for backward passes add.
template <class B, class E, class Memory>
void set_to_zero(B& backend, ParameterBuffers<E, Memory>& buffers) {
  fill(backend, buffers.matrices.data(), buffers.matrices.size(), typename E::MatrixType(0));
  fill(backend, buffers.vectors.data(), buffers.vectors.size(), typename E::VectorType(0));
}

}  // namespace moderngpt2
