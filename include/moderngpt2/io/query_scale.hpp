#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "moderngpt2/config/config.hpp"
#include "moderngpt2/core/dtype.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/checkpoint_files.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/io/file_hash.hpp"
#include "moderngpt2/io/safetensors_writer.hpp"

// Formats whose attention always multiplies the queries by head_dim^-0.5 (gemma2 as written here, GGUF) store a model
// with another multiplier m by scaling the weights and biases of the queries by m sqrt(head_dim). Unless that factor is
// a power of two, rounding makes different weights equal, so that the original ones are kept in a file beside them.
namespace moderngpt2 {

/// File with the original weights of scaled queries, beside model.safetensors. It has the format of safetensors but not
/// the extension, because vLLM loads every *.safetensors file of a folder. Other programs ignore it.
inline constexpr const char* original_queries_name = "moderngpt2_queries.original";

/// Factor of the weights and biases of the queries in a format that multiplies queries by head_dim^-0.5: m
/// sqrt(head_dim) for a model that multiplies by m; exactly 1 for the default m, however it is rounded.
inline double query_factor(const Config& config) {
  const double factor = config.query_scale() * std::sqrt(double(config.head_dim));
  return std::abs(factor - 1) < 1e-12 ? 1.0 : factor;
}

/// Whether every product of a floating-point number and `factor` that does not overflow is exact: 1 or a larger power
/// of two, since a smaller one loses bits of the smallest numbers.
inline bool scales_exactly(double factor) {
  int exponent = 0;
  return factor >= 1 && std::frexp(factor, &exponent) == 0.5;
}

/// Whether a tensor, by this library's name, is the weight or the bias of the queries.
inline bool is_query_tensor(std::string_view name) {
  return name.ends_with(".attn.q_proj.weight") || name.ends_with(".attn.q_proj.bias");
}

/// Returns a source of the elements of `source` times `factor`, each rounded once. Throws an Error that names the
/// tensor if a product overflows the element type. Element types: F64, F32, F16 and BF16.
TensorSource scaled_source(TensorSource source, double factor);

/// Hashes of tensors' bytes, by name.
using TensorHashes = std::map<std::string, FileHash>;

/// Returns a source that adds the bytes that it produces to hashes->at(source.name). They are requested once, in order.
TensorSource hashed_source(TensorSource source, const std::shared_ptr<TensorHashes>& hashes);

/// Writes original_queries_name into a folder: the tensors, and the hashes of their scaled forms in the same folder.
FileRecord write_original_queries(const std::filesystem::path& folder, std::span<const TensorSource> originals,
                                  const TensorHashes& hashes);

/// Opens original_queries_name in the folder of `scaled`. Empty if there is no such file or if a tensor has changed
/// since it was written. `names`: this library's and the file's name of each query tensor.
std::optional<CheckpointTensors> find_original_queries(const CheckpointTensors& scaled,
                                                       const std::vector<std::pair<std::string, std::string>>& names);

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

/// Multiplies elements of type T in place. Returns whether a finite element became infinite.
template <class T>
bool scale_elements(std::span<std::byte> bytes, double factor) {
  bool overflow = false;
  for (std::size_t at = 0; at < bytes.size(); at += sizeof(T)) {
    T value;
    std::memcpy(&value, bytes.data() + at, sizeof(T));
    const double before = static_cast<double>(value);
    if constexpr (sizeof(T) < 4)
      value = T(static_cast<float>(before * factor));
    else
      value = static_cast<T>(before * factor);
    overflow = overflow || (std::isfinite(before) && !std::isfinite(static_cast<double>(value)));
    std::memcpy(bytes.data() + at, &value, sizeof(T));
  }
  return overflow;
}

}  // namespace moderngpt2::detail

namespace moderngpt2 {

MODERNGPT2_INLINE TensorSource scaled_source(TensorSource source, double factor) {
  bool (*scale)(std::span<std::byte>, double) = nullptr;
  if (!with_float_type(source.dtype, [&]<class T>(T) { scale = &detail::scale_elements<T>; }))
    throw Error("tensor {} is {}, floating-point numbers are needed", excerpt(source.name), dtype_name(source.dtype));
  TensorSource out{source.name, source.dtype, source.shape, {}};
  out.fill = [source = std::move(source), scale, factor](std::uint64_t offset, std::span<std::byte> bytes) {
    source.fill(offset, bytes);
    if (scale(bytes, factor))
      throw Error("tensor {} has a value that times {} is too large for {}. Choose a wider type.", excerpt(source.name),
                  factor, dtype_name(source.dtype));
  };
  return out;
}

MODERNGPT2_INLINE TensorSource hashed_source(TensorSource source, const std::shared_ptr<TensorHashes>& hashes) {
  (*hashes)[source.name];
  TensorSource out{source.name, source.dtype, source.shape, {}};
  out.fill = [source = std::move(source), hashes](std::uint64_t offset, std::span<std::byte> bytes) {
    source.fill(offset, bytes);
    hashes->at(source.name).add(bytes);
  };
  return out;
}

MODERNGPT2_INLINE FileRecord write_original_queries(const std::filesystem::path& folder,
                                                    std::span<const TensorSource> originals,
                                                    const TensorHashes& hashes) {
  SafetensorsMetadata metadata = default_safetensors_metadata();
  for (const auto& [name, hash] : hashes) metadata[name] = hash.text();
  return write_safetensors(folder / original_queries_name, originals, metadata);
}

MODERNGPT2_INLINE std::optional<CheckpointTensors> find_original_queries(
    const CheckpointTensors& scaled, const std::vector<std::pair<std::string, std::string>>& names) {
  std::error_code error;
  const bool is_folder = std::filesystem::is_directory(scaled.path(), error);
  const std::filesystem::path path = (is_folder ? scaled.path() : scaled.path().parent_path()) / original_queries_name;
  if (!std::filesystem::exists(path, error)) return std::nullopt;
  CheckpointTensors originals(path);
  std::vector<std::byte> chunk(std::size_t{1} << 20);
  for (const auto& [name, stored_name] : names) {
    const TensorInfo& stored = scaled.at(stored_name);
    const TensorInfo* const original = originals.find(name);
    const auto recorded = originals.metadata().find(stored_name);
    if (!original || original->shape != stored.shape || recorded == originals.metadata().end()) return std::nullopt;
    FileHash hash;
    for (std::uint64_t at = 0; at < stored.bytes();) {
      const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(chunk.size(), stored.bytes() - at));
      scaled.read(stored, std::span(chunk).first(n), at);
      hash.add(std::span(chunk).first(n));
      at += n;
    }
    if (hash.text() != recorded->second) return std::nullopt;
  }
  return originals;
}

}  // namespace moderngpt2

#endif
