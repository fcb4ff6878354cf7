#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_set>
#include <utility>
#include <vector>

#include "moderngpt2/core/dtype.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/io/folder.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/io/safetensors_header.hpp"

namespace moderngpt2 {

/// Tensor to be written. `fill(offset, out)` is called with successive ranges of whole elements and writes the tensor's
/// bytes from `offset` into `out`. Tensors that are gathered or converted therefore need no second copy.
struct TensorSource {
  std::string name;
  Dtype dtype = Dtype::f32;
  std::vector<std::int64_t> shape;
  std::function<void(std::uint64_t offset, std::span<std::byte> out)> fill;
};

/// Source of a tensor in memory. `data` must live until the file is written.
template <class T>
TensorSource tensor_source(std::string name, std::vector<std::int64_t> shape, const T* data) {
  static_assert(dtype_of<T>.has_value(), "an element type of safetensors");
  return {std::move(name), *dtype_of<T>, std::move(shape), [data](std::uint64_t offset, std::span<std::byte> out) {
            if (!out.empty()) std::memcpy(out.data(), reinterpret_cast<const std::byte*>(data) + offset, out.size());
          }};
}

/// Source of floating-point values in memory that are converted to `dtype` (F32, F64, F16 or BF16) while written.
template <class T>
  requires std::is_convertible_v<T, float>
TensorSource tensor_source(std::string name, std::vector<std::int64_t> shape, const T* data, Dtype dtype) {
  TensorSource source{std::move(name), dtype, std::move(shape), {}};
  const bool is_float = with_float_type(dtype, [&]<class To>(To) {
    source.fill = [data](std::uint64_t offset, std::span<std::byte> out) {
      const T* from = data + offset / sizeof(To);
      for (std::size_t i = 0; i < out.size() / sizeof(To); ++i) {
        To value;
        if constexpr (std::is_same_v<To, double>)
          value = static_cast<double>(from[i]);
        else
          value = To(static_cast<float>(from[i]));
        std::memcpy(out.data() + i * sizeof(To), &value, sizeof(To));
      }
    };
  });
  if (!is_float)
    throw Error("tensor {}: floating-point numbers cannot be written as {}", source.name, dtype_name(dtype));
  return source;
}

using SafetensorsMetadata = std::map<std::string, std::string>;

/// Metadata that Hugging Face's tools expect in files of weights.
inline const SafetensorsMetadata& default_safetensors_metadata() {
  static const SafetensorsMetadata metadata{{"format", "pt"}};
  return metadata;
}

namespace detail {

/// Order of tensors in a file: larger element types first, which aligns each tensor to its elements. Stable otherwise.
std::vector<const TensorSource*> file_order(std::span<const TensorSource* const> tensors);

std::uint64_t source_bytes(const TensorSource& tensor);

void require_distinct_names(std::span<const TensorSource> tensors);

/// Bytes before the tensors: length, JSON and padding to a multiple of 8.
std::string header_text(std::span<const TensorSource* const> order, const SafetensorsMetadata& metadata,
                        const std::string& where);

/// Writes a file completely without publishing it.
void write_tensors(AtomicFile& file, std::span<const TensorSource* const> tensors, const SafetensorsMetadata& metadata);

/// Distributes tensors over shards in order, at most `limit` bytes each; a shard has at least one tensor.
std::vector<std::vector<const TensorSource*>> plan_shards(std::span<const TensorSource> tensors, std::uint64_t limit);

/// Whether a name has the form model-00001-of-00002.safetensors.
bool is_shard_name(std::string_view name);

/// Removes files of an earlier checkpoint in the folder, except those named in `keep`.
void remove_stale_shards(const std::filesystem::path& folder, const std::unordered_set<std::string>& keep);

}  // namespace detail

/// Writes one safetensors file atomically. Needs 1 MiB of memory besides the header.
FileRecord write_safetensors(const std::filesystem::path& path, std::span<const TensorSource> tensors,
                             const SafetensorsMetadata& metadata = default_safetensors_metadata());

/// Writes a checkpoint's tensors into a folder in Hugging Face's layout: model.safetensors or, beyond
/// `max_shard_bytes`, model-00001-of-0000N.safetensors with model.safetensors.index.json. Returns the written files.
/// Files are published once all are on the disk; then an earlier checkpoint's files in the folder are removed.
std::vector<FileRecord> write_sharded(const std::filesystem::path& folder, std::span<const TensorSource> tensors,
                                      std::uint64_t max_shard_bytes = 5'000'000'000,
                                      const SafetensorsMetadata& metadata = default_safetensors_metadata());

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

MODERNGPT2_INLINE std::vector<const TensorSource*> file_order(std::span<const TensorSource* const> tensors) {
  std::vector<const TensorSource*> order(tensors.begin(), tensors.end());
  std::stable_sort(order.begin(), order.end(), [](const TensorSource* a, const TensorSource* b) {
    return dtype_bits(a->dtype) > dtype_bits(b->dtype);
  });
  return order;
}

MODERNGPT2_INLINE std::uint64_t source_bytes(const TensorSource& tensor) {
  const auto bytes = tensor_bytes(tensor.dtype, tensor.shape);
  if (!bytes) throw Error("tensor {} of shape {} has no possible size", tensor.name, shape_text(tensor.shape));
  return *bytes;
}

MODERNGPT2_INLINE void require_distinct_names(std::span<const TensorSource> tensors) {
  std::unordered_set<std::string_view> names{safetensors_metadata_key};
  for (const TensorSource& tensor : tensors)
    if (!names.insert(tensor.name).second) throw Error("cannot write two tensors named {}", excerpt(tensor.name));
}

MODERNGPT2_INLINE std::string header_text(std::span<const TensorSource* const> order,
                                          const SafetensorsMetadata& metadata, const std::string& where) {
  Json::object_t header;  // push_back on the underlying vector: names are distinct
  if (!metadata.empty()) header.emplace_back(std::string(safetensors_metadata_key), Json(metadata));
  std::uint64_t offset = 0;
  for (const TensorSource* tensor : order) {
    const std::uint64_t end = offset + source_bytes(*tensor);
    Json entry = Json::object();
    entry["dtype"] = dtype_name(tensor->dtype);
    entry["shape"] = tensor->shape;
    entry["data_offsets"] = {offset, end};
    header.emplace_back(tensor->name, std::move(entry));
    offset = end;
  }
  std::string text;
  try {
    text = Json(std::move(header)).dump();
  } catch (const nlohmann::json::exception&) {
    throw Error("cannot write {}: a tensor's name is not valid UTF-8", where);
  }
  text.append((8 - text.size() % 8) % 8, ' ');
  if (text.size() > max_safetensors_header)
    throw Error("cannot write {}: its header has {} bytes, the maximum is {}", where, text.size(),
                max_safetensors_header);
  std::string length(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) length[i] = static_cast<char>(text.size() >> (8 * i) & 0xff);
  return length + text;
}

MODERNGPT2_INLINE void write_tensors(AtomicFile& file, std::span<const TensorSource* const> tensors,
                                     const SafetensorsMetadata& metadata) {
  const std::vector<const TensorSource*> order = file_order(tensors);
  const std::string header = header_text(order, metadata, file.path().string());
  file.write(header);
  std::vector<std::byte> chunk(std::size_t{1} << 20);
  for (const TensorSource* tensor : order) {
    const std::uint64_t bytes = source_bytes(*tensor);
    for (std::uint64_t offset = 0; offset < bytes;) {
      const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(chunk.size(), bytes - offset));
      tensor->fill(offset, std::span(chunk).first(n));
      file.write(std::span<const std::byte>(chunk).first(n));
      offset += n;
    }
  }
  file.finish();
}

MODERNGPT2_INLINE std::vector<std::vector<const TensorSource*>> plan_shards(std::span<const TensorSource> tensors,
                                                                            std::uint64_t limit) {
  std::vector<std::vector<const TensorSource*>> shards(1);
  std::uint64_t filled = 0;
  for (const TensorSource& tensor : tensors) {
    const std::uint64_t bytes = source_bytes(tensor);
    if (!shards.back().empty() && (filled > limit || bytes > limit - filled)) {
      shards.emplace_back();
      filled = 0;
    }
    shards.back().push_back(&tensor);
    filled += bytes;
  }
  return shards;
}

MODERNGPT2_INLINE bool is_shard_name(std::string_view name) {
  constexpr std::string_view pattern = "model-#####-of-#####.safetensors";
  return name.size() == pattern.size() && std::equal(name.begin(), name.end(), pattern.begin(), [](char c, char p) {
           return p == '#' ? c >= '0' && c <= '9' : c == p;
         });
}

MODERNGPT2_INLINE void remove_stale_shards(const std::filesystem::path& folder,
                                           const std::unordered_set<std::string>& keep) {
  std::error_code ignored;
  for (const std::filesystem::path& path : folder_entries(folder)) {
    const std::string name = path.filename().string();
    const bool ours = is_shard_name(name) || name == "model.safetensors" || name == "model.safetensors.index.json";
    if (ours && !keep.contains(name)) std::filesystem::remove(path, ignored);
  }
}

}  // namespace moderngpt2::detail

namespace moderngpt2 {

MODERNGPT2_INLINE FileRecord write_safetensors(const std::filesystem::path& path, std::span<const TensorSource> tensors,
                                               const SafetensorsMetadata& metadata) {
  detail::require_distinct_names(tensors);
  std::vector<const TensorSource*> all;
  for (const TensorSource& tensor : tensors) all.push_back(&tensor);
  AtomicFile file(path);
  detail::write_tensors(file, all, metadata);
  file.commit();
  return file.record();
}

MODERNGPT2_INLINE std::vector<FileRecord> write_sharded(const std::filesystem::path& folder,
                                                        std::span<const TensorSource> tensors,
                                                        std::uint64_t max_shard_bytes,
                                                        const SafetensorsMetadata& metadata) {
  detail::require_distinct_names(tensors);
  const auto shards = detail::plan_shards(tensors, max_shard_bytes);
  if (shards.size() > 900)
    throw Error("{}: {} shards, the maximum is 900. Increase max_shard_bytes", folder.string(), shards.size());
  const std::string index_name = "model.safetensors.index.json";
  std::vector<FileRecord> written;
  std::vector<std::unique_ptr<AtomicFile>> files;
  Json::object_t weight_map;
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < shards.size(); ++i) {
    const std::string name = shards.size() == 1 ? "model.safetensors"
                                                : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
    files.push_back(std::make_unique<AtomicFile>(folder / name));
    detail::write_tensors(*files.back(), shards[i], metadata);
    for (const TensorSource* tensor : shards[i]) {
      weight_map.emplace_back(tensor->name, name);
      total += detail::source_bytes(*tensor);
    }
    written.push_back(files.back()->record());
  }
  // Old and new shards may have equal names. Without an index, a partially replaced set does not count as a checkpoint.
  std::error_code absent;
  if (shards.size() > 1) std::filesystem::remove(folder / index_name, absent);
  for (const auto& file : files) file->commit();
  if (shards.size() > 1) {
    Json index = Json::object();
    index["metadata"]["total_size"] = total;
    index["weight_map"] = std::move(weight_map);
    written.push_back(write_json_file(folder / index_name, index));
  }
  std::unordered_set<std::string> names;
  for (const FileRecord& file : written) names.insert(file.name);
  detail::remove_stale_shards(folder, names);
  return written;
}

}  // namespace moderngpt2

#endif
