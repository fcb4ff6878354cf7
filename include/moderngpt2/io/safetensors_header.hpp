#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <numeric>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "moderngpt2/core/dtype.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/io/json.hpp"

namespace moderngpt2 {

/// Maximum header size in bytes. A safetensors file is 8 bytes of little-endian header length, the header as JSON, then
/// the tensors' bytes (https://huggingface.co/docs/safetensors).
inline constexpr std::uint64_t max_safetensors_header = 100'000'000;

/// Key of the header entry with free text about the file.
inline constexpr std::string_view safetensors_metadata_key = "__metadata__";

/// Name, type, shape and position of a tensor. `begin` and `end` are byte offsets from the end of the header.
struct TensorInfo {
  std::string name;
  Dtype dtype = Dtype::f32;
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  int shard = 0;  ///< index of the file in a sharded checkpoint

  std::uint64_t bytes() const { return end - begin; }
  /// Number of elements: 1 for a scalar, 0 if a dimension is 0.
  std::int64_t count() const {
    if (std::find(shape.begin(), shape.end(), 0) != shape.end())
      return 0;  // checked first: the product of the other dimensions may overflow
    return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
  }
};

/// Formats a shape for messages, such as "[61, 32]".
std::string shape_text(const std::vector<std::int64_t>& shape);

/// Parsed header of a safetensors file.
struct SafetensorsHeader {
  std::vector<TensorInfo> tensors;  ///< in the order of their bytes
  std::map<std::string, std::string> metadata;
};

namespace detail {

/// Size of a tensor in bytes; nullopt if it is not a whole number or exceeds 2^63.
std::optional<std::uint64_t> tensor_bytes(Dtype dtype, const std::vector<std::int64_t>& shape);

TensorInfo read_tensor_info(const std::string& name, const Json& entry, const std::string& where);

}  // namespace detail

/// Parses a header (without the length before it) that precedes `data_bytes` bytes of tensors. Tensors must cover these
/// bytes without gap or overlap. Throws Error that begins with `where`.
SafetensorsHeader parse_safetensors_header(std::string_view text, std::uint64_t data_bytes, const std::string& where);

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2 {

MODERNGPT2_INLINE std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string out = "[";
  for (std::int64_t n : shape) out += (out.size() > 1 ? ", " : "") + std::to_string(n);
  return out + "]";
}

}  // namespace moderngpt2

namespace moderngpt2::detail {

MODERNGPT2_INLINE std::optional<std::uint64_t> tensor_bytes(Dtype dtype, const std::vector<std::int64_t>& shape) {
  std::uint64_t bits = static_cast<std::uint64_t>(dtype_bits(dtype));
  // A zero anywhere makes the tensor empty, however large the other dimensions are.
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return 0;
  for (std::int64_t n : shape)
    if (n < 0 || __builtin_mul_overflow(bits, static_cast<std::uint64_t>(n), &bits)) return std::nullopt;
  if (bits % 8 != 0) return std::nullopt;
  return bits / 8;
}

MODERNGPT2_INLINE TensorInfo read_tensor_info(const std::string& name, const Json& entry, const std::string& where) {
  const std::string here = where + ": tensor " + excerpt(name);
  TensorInfo info;
  info.name = name;
  const auto dtype = get_field<std::string>(entry, "dtype", here);
  const std::optional<Dtype> known = dtype_from_name(dtype);
  if (!known) throw Error("{}: unknown dtype {}", here, excerpt(dtype));
  info.dtype = *known;

  const Json* shape = find_field(entry, "shape", here);
  if (!shape || !shape->is_array()) throw Error("{}: shape must be a list of integers", here);
  for (const Json& n : *shape) {
    info.shape.push_back(json_as<std::int64_t>(n, "a dimension", here));
    if (info.shape.back() < 0) throw Error("{}: a dimension is {}", here, info.shape.back());
  }
  const Json* offsets = find_field(entry, "data_offsets", here);
  if (!offsets || !offsets->is_array() || offsets->size() != 2)
    throw Error("{}: data_offsets must be a list of two integers", here);
  info.begin = json_as<std::uint64_t>((*offsets)[0], "data_offsets", here);
  info.end = json_as<std::uint64_t>((*offsets)[1], "data_offsets", here);
  if (info.end < info.begin) throw Error("{}: data_offsets [{}, {}] are reversed", here, info.begin, info.end);

  const std::optional<std::uint64_t> bytes = tensor_bytes(info.dtype, info.shape);
  if (!bytes) throw Error("{}: {} elements of {} are no possible size", here, excerpt(shape_text(info.shape)), dtype);
  if (*bytes != info.bytes())
    throw Error("{}: shape {} of {} takes {} bytes, data_offsets give it {}", here, excerpt(shape_text(info.shape)),
                dtype, *bytes, info.bytes());
  return info;
}

}  // namespace moderngpt2::detail

namespace moderngpt2 {

MODERNGPT2_INLINE SafetensorsHeader parse_safetensors_header(std::string_view text, std::uint64_t data_bytes,
                                                             const std::string& where) {
  const Json json = parse_json(text, where);
  if (!json.is_object()) throw Error("{}: the header is not a JSON object", where);
  SafetensorsHeader header;
  header.tensors.reserve(json.size());
  for (const auto& [name, entry] : json.items()) {
    if (name != safetensors_metadata_key) {
      header.tensors.push_back(detail::read_tensor_info(name, entry, where));
      continue;
    }
    if (entry.is_null()) continue;
    if (!entry.is_object()) throw Error("{}: __metadata__ must be an object", where);
    for (const auto& [key, value] : entry.items())
      header.metadata[key] = json_as<std::string>(value, "__metadata__ " + excerpt(key), where);
  }

  std::stable_sort(header.tensors.begin(), header.tensors.end(), [](const TensorInfo& a, const TensorInfo& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  std::uint64_t reached = 0;
  for (const TensorInfo& info : header.tensors) {
    if (info.begin != reached)
      throw Error("{}: tensor {} begins at byte {}, the one before it ends at {}: {}", where, excerpt(info.name),
                  info.begin, reached, info.begin < reached ? "they overlap" : "there is a hole");
    reached = info.end;
  }
  if (reached != data_bytes)
    throw Error("{}: the tensors need {} bytes after the header, the file has {}: {}", where, reached, data_bytes,
                reached > data_bytes ? "it is truncated" : "something else follows them");
  return header;
}

}  // namespace moderngpt2

#endif
