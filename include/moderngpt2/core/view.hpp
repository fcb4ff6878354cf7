#pragma once

#include <cstdint>
#include <type_traits>

namespace moderngpt2 {

// Shapes in comments: B batch, T time, C n_embd, H query heads, K key/value heads, D head_dim, F n_inner, V vocabulary.
// (BT,C) is a row-major matrix of B*T rows.

/// View of a parameter with one dimension. Null until bound. Owns nothing.
template <class T>
struct Vector {
  T* data = nullptr;
  int size = 0;

  constexpr explicit operator bool() const { return data != nullptr; }
  constexpr operator Vector<const T>() const requires(!std::is_const_v<T>) { return {data, size}; }
};

/// Pointer to elements of type T in a flat buffer: T*, or a class with its arithmetic (core/quantized_matrix.hpp).
template <class T>
struct ElementPointer {
  using type = T*;
};
template <class T>
using pointer_to = typename ElementPointer<T>::type;

/// View of a parameter with two dimensions, (rows, cols), row-major and contiguous. Owns nothing.
template <class T>
struct Matrix {
  T* data = nullptr;
  int rows = 0;
  int cols = 0;

  constexpr std::int64_t size() const { return std::int64_t(rows) * cols; }
  constexpr operator Matrix<const T>() const requires(!std::is_const_v<T>) { return {data, rows, cols}; }
};

/// Whether `lower` continues `upper` in memory, so that both are one matrix.
template <class T>
constexpr bool continues(const Matrix<T>& upper, const Matrix<T>& lower) {
  return lower.data == upper.data + upper.size();
}

/// View of activations: `count` rows of `width` elements, `stride` elements apart (so that q, k and v can share one
/// buffer). Owns nothing.
template <class T>
struct Rows {
  T* data = nullptr;
  int count = 0;
  int width = 0;
  int stride = 0;

  constexpr Rows() = default;
  constexpr Rows(T* d, int n, int w) : Rows(d, n, w, w) {}
  constexpr Rows(T* d, int n, int w, int s) : data(d), count(n), width(w), stride(s) {}

  constexpr T* row(int i) const { return data + std::int64_t(i) * stride; }
  /// Columns [first, first + n) of every row.
  constexpr Rows columns(int first, int n) const { return {data + first, count, n, stride}; }
  /// Rows [first, first + n).
  constexpr Rows slice(int first, int n) const { return {row(first), n, width, stride}; }
  constexpr bool contiguous() const { return stride == width; }
  /// Number of elements, count * width.
  constexpr std::int64_t size() const { return std::int64_t(count) * width; }
  constexpr operator Rows<const T>() const requires(!std::is_const_v<T>) { return {data, count, width, stride}; }
};

/// Input types of operations: T is deduced from the output, so that a mutable view converts.
template <class T>
using ConstVector = std::type_identity_t<Vector<const T>>;
template <class T>
using ConstMatrix = std::type_identity_t<Matrix<const T>>;
template <class T>
using ConstRows = std::type_identity_t<Rows<const T>>;

}  // namespace moderngpt2
