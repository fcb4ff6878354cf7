#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <type_traits>

#include "moderngpt2/core/memory.hpp"
#include "moderngpt2/core/parallel.hpp"
#include "moderngpt2/core/quantized_blocks.hpp"
#include "moderngpt2/core/view.hpp"

// Storage of quantized matrices in flat buffers, for models that only compute forward. Rows are packed in groups of 8,
// so that a product of one row computes 8 outputs in the lanes of one register and reads memory in one stream.
namespace moderngpt2 {

/// Element type of a matrix of quantized blocks, in Elements, Matrix and FlatBuffer. There are no objects of it: a
/// QuantizedPointer refers to whole blocks.
template <class Block>
struct QuantizedValue;

/// Rows of a packed group.
inline constexpr int group_rows = 8;

/// Block i of each row of a group. Chunk j (4 bytes) of row r is at byte 32 j + 4 r.
template <class Block>
struct QuantizedGroup {
  static constexpr int row_bytes = int(sizeof(Block) - sizeof(f16));
  std::array<f16, group_rows> scales;
  std::array<std::uint8_t, std::size_t(group_rows* row_bytes)> bytes;
};
static_assert(sizeof(QuantizedGroup<BlockQ8_0>) == group_rows * sizeof(BlockQ8_0));
static_assert(sizeof(QuantizedGroup<BlockQ4_0>) == group_rows * sizeof(BlockQ4_0));

/// Position in a flat buffer of quantized values, a multiple of 32 elements from its start.
template <class Block>
class QuantizedPointer {
 public:
  constexpr QuantizedPointer(std::byte* bytes = nullptr) : bytes_(bytes) {}

  std::byte* bytes() const { return bytes_; }
  constexpr explicit operator bool() const { return bytes_ != nullptr; }
  QuantizedPointer& operator+=(std::int64_t elements) {
    bytes_ += elements / block_values * std::int64_t(sizeof(Block));
    return *this;
  }
  friend QuantizedPointer operator+(QuantizedPointer p, std::int64_t elements) { return p += elements; }
  friend bool operator==(QuantizedPointer, QuantizedPointer) = default;

 private:
  std::byte* bytes_;
};

template <class Block>
struct ElementPointer<QuantizedValue<Block>> {
  using type = QuantizedPointer<Block>;
};

/// View of a quantized matrix (rows, cols): rows / 8 groups of cols / 32 QuantizedGroups, then the remaining rows as
/// blocks.
template <class Block>
struct Matrix<QuantizedValue<Block>> {
  QuantizedPointer<Block> data{};
  int rows = 0;
  int cols = 0;

  constexpr std::int64_t size() const { return std::int64_t(rows) * cols; }
  int blocks() const { return cols / block_values; }
  int groups() const { return rows / group_rows; }
  /// Block groups of group g.
  QuantizedGroup<Block>* group(int g) const {
    return reinterpret_cast<QuantizedGroup<Block>*>((data + std::int64_t(g) * group_rows * cols).bytes());
  }
  /// Blocks of row r, at least group_rows * groups().
  Block* row(int r) const { return reinterpret_cast<Block*>((data + std::int64_t(r) * cols).bytes()); }
};

/// Whether `lower` continues `upper` in memory, so that both are one matrix.
template <class Block>
bool continues(const Matrix<QuantizedValue<Block>>& upper, const Matrix<QuantizedValue<Block>>& lower) {
  return upper.rows % group_rows == 0 && lower.data == upper.data + upper.size();
}

/// Owning buffer of quantized values in host memory.
template <class Block>
class FlatBuffer<QuantizedValue<Block>, AlignedBuffer> {
 public:
  FlatBuffer() = default;
  explicit FlatBuffer(std::int64_t count, Pages pages = Pages::at_once)
      : buffer_(bytes_of(count), pages), count_(count) {}

  QuantizedPointer<Block> data() const { return buffer_.data(); }
  std::int64_t size() const { return count_; }
  AlignedBuffer& memory() { return buffer_; }

 private:
  static std::size_t bytes_of(std::int64_t count) {
    return std::size_t((count + block_values - 1) / block_values) * sizeof(Block);
  }

  AlignedBuffer buffer_;
  std::int64_t count_ = 0;
};

/// Whether E is a QuantizedValue.
template <class E>
inline constexpr bool is_quantized = false;
template <class Block>
inline constexpr bool is_quantized<QuantizedValue<Block>> = true;

/// Bytes of `count` elements of a flat buffer.
template <class E>
constexpr std::uint64_t bytes_of_elements(std::int64_t count) {
  return std::uint64_t(count) * sizeof(E);
}
template <class E>
  requires is_quantized<E>
constexpr std::uint64_t bytes_of_elements(std::int64_t count) {
  return std::uint64_t(count) / block_values *
         []<class Block>(std::type_identity<QuantizedValue<Block>>) { return sizeof(Block); }(std::type_identity<E>{});
}

/// Throws Error with the tensor's name where rows of `count` values cannot be quantized to E, a QuantizedValue.
template <class E>
void require_quantizable(std::int64_t count, std::string_view tensor) {
  [&]<class Block>(std::type_identity<QuantizedValue<Block>>) {
    (void)blocks_of_row<Block>(count, tensor);
  }(std::type_identity<E>{});
}

/// Copies block i of 8 rows, rows[r * stride + i], into a group.
template <class Block>
void pack_group(const Block* rows, std::int64_t stride, std::int64_t i, QuantizedGroup<Block>& group) {
  constexpr std::size_t chunk = 4;
  for (std::size_t r = 0; r < group_rows; ++r) {
    const Block& block = rows[std::int64_t(r) * stride + i];
    group.scales[r] = block.scale;
    const auto* const from = reinterpret_cast<const std::byte*>(&block) + sizeof(f16);
    for (std::size_t j = 0; j < std::size_t(QuantizedGroup<Block>::row_bytes) / chunk; ++j)
      std::memcpy(&group.bytes[(j * group_rows + r) * chunk], from + j * chunk, chunk);
  }
}

/// Block of row r of a group.
template <class Block>
Block unpack_block(const QuantizedGroup<Block>& group, int r) {
  constexpr std::size_t chunk = 4;
  Block block;
  block.scale = group.scales[std::size_t(r)];
  auto* const to = reinterpret_cast<std::byte*>(&block) + sizeof(f16);
  for (std::size_t j = 0; j < std::size_t(QuantizedGroup<Block>::row_bytes) / chunk; ++j)
    std::memcpy(to + j * chunk, &group.bytes[(j * group_rows + std::size_t(r)) * chunk], chunk);
  return block;
}

/// Row r of a quantized matrix as floats, x (cols).
template <class Block>
void dequantize_matrix_row(const Matrix<QuantizedValue<Block>>& m, int r, float* x) {
  if (r >= m.groups() * group_rows) return dequantize_row(m.row(r), m.cols, x);
  const QuantizedGroup<Block>* const group = m.group(r / group_rows);
  for (int i = 0; i < m.blocks(); ++i)
    dequantize_block(unpack_block(group[i], r % group_rows), x + std::int64_t(i) * block_values);
}

/// Quantizes rows [first, first + count) of a matrix from floats x (count,cols). `first` is a multiple of 8; `count`
/// too, unless the rows are the last ones. Throws Error with the tensor's name where a value cannot be stored.
template <class Block>
void quantize_matrix_rows(const Matrix<QuantizedValue<Block>>& m, int first, int count, const float* x,
                          std::string_view tensor, int threads) {
  const int blocks = m.blocks();
  parallel_tasks(threads, (count + group_rows - 1) / group_rows, [&](std::int64_t task, int) {
    const int begin = int(task) * group_rows, n = std::min(group_rows, count - begin);
    const auto source = [&](int r) { return x + std::int64_t(begin + r) * m.cols; };
    if (n < group_rows) {
      for (int r = 0; r < n; ++r) quantize_row(source(r), m.cols, m.row(first + begin + r), tensor);
      return;
    }
    QuantizedGroup<Block>* const group = m.group((first + begin) / group_rows);
    std::array<Block, std::size_t(group_rows)> column;
    for (int i = 0; i < blocks; ++i) {
      for (int r = 0; r < group_rows; ++r)
        quantize_block(source(r) + std::int64_t(i) * block_values, column[std::size_t(r)], tensor);
      pack_group(column.data(), 1, 0, group[i]);
    }
  });
}

/// Fills a quantized matrix from floats: calls read(first, n, x) for elements [first, first + n) in pieces of whole
/// rows, at most about 4 MiB.
template <class Block, class Read>
void quantize_matrix(const Matrix<QuantizedValue<Block>>& m, std::string_view tensor, int threads, Read&& read) {
  constexpr std::int64_t piece = std::int64_t(1) << 20;
  const int rows = int(std::clamp<std::int64_t>(piece / m.cols / group_rows, 1, (m.rows + 7) / 8)) * group_rows;
  const FlatBuffer<float> x(std::int64_t(rows) * m.cols);
  for (int first = 0; first < m.rows; first += rows) {
    const int count = std::min(rows, m.rows - first);
    read(std::int64_t(first) * m.cols, std::int64_t(count) * m.cols, x.data());
    quantize_matrix_rows(m, first, count, x.data(), tensor, threads);
  }
}

}  // namespace moderngpt2
