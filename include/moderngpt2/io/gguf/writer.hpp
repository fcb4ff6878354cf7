#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/io/gguf/metadata.hpp"
#include "moderngpt2/io/gguf/tensor_types.hpp"

namespace moderngpt2 {

/// Tensor to be written to a GGUF file. `values(first, out)` is called with successive ranges of elements. `dims` are
/// in the order of the file: the length of a row comes first, a multiple of the type's block.
struct GgufSource {
  std::string name;
  std::vector<std::uint64_t> dims;
  GgufDtype dtype = GgufDtype::f32;
  std::function<void(std::int64_t first, std::span<float> out)> values;
};

/// Writes a GGUF file, version 3, atomically. Memory: the metadata and 1 MiB. Throws Error for values that the type
/// cannot store, and if the file cannot be written.
FileRecord write_gguf_file(const std::filesystem::path& path, const GgufMetadata& metadata,
                           std::span<const GgufSource> tensors);

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

/// Elements of a tensor to be written, and its bytes.
inline std::pair<std::int64_t, std::uint64_t> gguf_source_size(const GgufSource& tensor) {
  std::uint64_t count = 1;
  for (const std::uint64_t n : tensor.dims) count *= n;
  const GgufDtypeEntry& dtype = gguf_dtype_entry(tensor.dtype);
  if (tensor.dims.empty() || tensor.dims[0] % dtype.values != 0)
    throw Error("{}: rows of {} values cannot be written as {}", excerpt(tensor.name),
                tensor.dims.empty() ? 0 : tensor.dims[0], dtype.name);
  return {static_cast<std::int64_t>(count), count / dtype.values * dtype.bytes};
}

inline std::uint64_t gguf_aligned(std::uint64_t bytes) {
  constexpr std::uint64_t alignment = 32;
  return (bytes + alignment - 1) / alignment * alignment;
}

/// Bytes before the tensors.
inline std::string gguf_header(const GgufMetadata& metadata, std::span<const GgufSource> tensors) {
  std::string out = "GGUF";
  const auto integer = [&]<class T>(T value) { out += GgufValue::bytes_of(&value, 1); };
  const auto text = [&](std::string_view value) {
    integer(static_cast<std::uint64_t>(value.size()));
    out += value;
  };
  integer(std::uint32_t{3});
  integer(static_cast<std::uint64_t>(tensors.size()));
  integer(static_cast<std::uint64_t>(metadata.entries().size()));
  for (const auto& [key, value] : metadata.entries()) {
    text(key);
    if (value.is_array) integer(static_cast<std::uint32_t>(GgufType::array));
    integer(static_cast<std::uint32_t>(value.type));
    if (value.is_array) integer(static_cast<std::uint64_t>(value.size()));
    if (value.type != GgufType::string)
      out += value.bytes;
    else if (!value.is_array)
      text(value.bytes);
    else
      for (const std::string& element : value.strings) text(element);
  }
  std::uint64_t offset = 0;
  for (const GgufSource& tensor : tensors) {
    text(tensor.name);
    integer(static_cast<std::uint32_t>(tensor.dims.size()));
    for (const std::uint64_t n : tensor.dims) integer(n);
    integer(static_cast<std::uint32_t>(tensor.dtype));
    integer(offset);
    offset = gguf_aligned(offset + gguf_source_size(tensor).second);
  }
  out.resize(static_cast<std::size_t>(gguf_aligned(out.size())));
  return out;
}

}  // namespace moderngpt2::detail

namespace moderngpt2 {

MODERNGPT2_INLINE FileRecord write_gguf_file(const std::filesystem::path& path, const GgufMetadata& metadata,
                                             std::span<const GgufSource> tensors) {
  AtomicFile file(path);
  file.write(detail::gguf_header(metadata, tensors));
  constexpr std::size_t piece = 1 << 17;  // elements, a multiple of every block
  std::vector<float> values(piece);
  std::vector<std::byte> bytes(piece * sizeof(float));
  for (const GgufSource& tensor : tensors) {
    const auto [count, size] = detail::gguf_source_size(tensor);
    const detail::GgufDtypeEntry& dtype = detail::gguf_dtype_entry(tensor.dtype);
    for (std::int64_t first = 0; first < count;) {
      const std::int64_t n = std::min(std::int64_t(piece), count - first);
      tensor.values(first, std::span(values).first(static_cast<std::size_t>(n)));
      detail::gguf_encode(tensor.dtype, values.data(), n, bytes.data(), tensor.name);
      const auto written = static_cast<std::size_t>(static_cast<std::uint64_t>(n) / dtype.values * dtype.bytes);
      file.write(std::span<const std::byte>(bytes).first(written));
      first += n;
    }
    file.write(std::string(static_cast<std::size_t>(detail::gguf_aligned(size) - size), '\0'));
  }
  file.commit();
  return file.record();
}

}  // namespace moderngpt2

#endif
