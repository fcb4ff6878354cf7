#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "moderngpt2/core/dtype.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/config_file.hpp"
#include "moderngpt2/io/gguf/config.hpp"
#include "moderngpt2/io/gguf/exact_weights.hpp"
#include "moderngpt2/io/gguf/names.hpp"
#include "moderngpt2/io/gguf/reader.hpp"
#include "moderngpt2/io/safetensors_reader.hpp"

namespace moderngpt2 {

/// Tensors of a model in a GGUF file, under this library's names and with the shapes [out, in] of its checkpoints.
/// Values are converted when they are read: quantized ones to floats, norm weights from w + 1 to w, query weights to
/// those before the scale was folded in. Threads: several may read at once.
class GgufTensors {
 public:
  /// Throws Error that names a tensor that is missing, unknown, or of another shape or type than the config requires.
  explicit GgufTensors(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return file_.path(); }
  const ConfigFile& config() const { return config_; }
  /// Tensors with the types as which read() returns them: F32, or F16 and BF16 for matrices that are stored so.
  const std::vector<TensorInfo>& tensors() const { return infos_; }

  /// Reads elements as bytes of the tensor's type, beginning at byte `offset`, a multiple of the element's size.
  void read(const TensorInfo& info, std::span<std::byte> out, std::uint64_t offset) const;

  /// Reads `count` elements from index `first`.
  template <TensorElement T>
  void read_as(const TensorInfo& info, T* out, std::int64_t first, std::int64_t count) const {
    if constexpr (std::integral<T>) {
      throw Error("{}: tensor {} has floating-point numbers, integers are needed", path().string(), excerpt(info.name));
    } else if constexpr (std::same_as<T, float>) {
      values(info, first, count, out);
    } else {
      std::array<float, 1 << 13> chunk;
      for (std::int64_t done = 0; done < count;) {
        const std::int64_t n = std::min(std::int64_t(chunk.size()), count - done);
        values(info, first + done, n, chunk.data());
        for (std::int64_t i = 0; i < n; ++i) out[done + i] = T(chunk[std::size_t(i)]);
        done += n;
      }
    }
  }

 private:
  void values(const TensorInfo& info, std::int64_t first, std::int64_t count, float* out) const;

  GgufFile file_;
  ConfigFile config_;
  std::vector<detail::GgufTensorName> names_;
  std::vector<const GgufTensor*> stored_;  // nullptr: a bias of zeros
  std::vector<TensorInfo> infos_;
  std::unordered_map<std::string, std::size_t> index_;
  std::vector<float> norms_;
  detail::GgufQueryRounding queries_;
};

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2 {

MODERNGPT2_INLINE GgufTensors::GgufTensors(const std::filesystem::path& path)
    : file_(path),
      config_(parse_config(config_from_gguf(file_), path.string())),
      names_(detail::gguf_tensor_names(config_.config)),
      norms_(file_.metadata().get_numbers<float>(detail::gguf_norms_key)),
      queries_(file_.metadata(), detail::gguf_query_factor(config_.config)) {
  const std::string where = path.string();
  const std::int64_t norms = (std::int64_t{4} * config_.config.n_layer + 1) * config_.config.n_embd;
  if (static_cast<std::int64_t>(norms_.size()) != norms) norms_.clear();
  std::unordered_map<std::string_view, const GgufTensor*> there;
  for (const GgufTensor& tensor : file_.tensors()) there.emplace(tensor.name, &tensor);
  for (const detail::GgufTensorName& name : names_) {
    const auto found = there.find(name.gguf_name);
    const GgufTensor* const tensor = found == there.end() ? nullptr : found->second;
    using Role = detail::GgufRole;
    const bool is_optional = name.role == Role::bias || name.role == Role::query_bias || name.role == Role::output_bias;
    if (!tensor && !is_optional)
      throw Error("{}: tensor {}, which the config requires, is missing", where, name.gguf_name);
    TensorInfo info;
    info.name = name.name;
    info.shape = name.shape;
    if (tensor) {
      const std::vector<std::int64_t> shape(tensor->dims.rbegin(), tensor->dims.rend());
      if (shape != name.shape)
        throw Error("{}: tensor {} has the shape {}, the config requires {}", where, name.gguf_name, shape_text(shape),
                    shape_text(name.shape));
      if (!detail::find_gguf_dtype(tensor->type))
        throw Error(
            "{}: tensor {} is of type {}, which is not read: F32, F16, BF16, Q8_0 and Q4_0 are. Convert the model to "
            "one of these.",
            where, name.gguf_name, detail::ggml_type_name(tensor->type));
      const auto type = static_cast<GgufDtype>(tensor->type);
      if (name.role == Role::matrix && type == GgufDtype::f16) info.dtype = Dtype::f16;
      if (name.role == Role::matrix && type == GgufDtype::bf16) info.dtype = Dtype::bf16;
      there.erase(found);
    }
    info.end = static_cast<std::uint64_t>(info.count()) * static_cast<std::uint64_t>(dtype_size(info.dtype));
    index_.emplace(info.name, infos_.size());
    infos_.push_back(std::move(info));
    stored_.push_back(tensor);
  }
  for (const auto& [name, tensor] : there)
    throw Error("{}: tensor {} does not belong to a gemma2 model with these keys", where, excerpt(name));
}

MODERNGPT2_INLINE void GgufTensors::values(const TensorInfo& info, std::int64_t first, std::int64_t count,
                                           float* out) const {
  const std::size_t at = index_.at(info.name);
  const GgufTensor* const tensor = stored_[at];
  if (first < 0 || count < 0 || first > infos_[at].count() || count > infos_[at].count() - first)
    throw Error("{}: tensor {} has {} elements, {} were asked for at {}", path().string(), excerpt(info.name),
                infos_[at].count(), count, first);
  if (!tensor) return void(std::fill_n(out, count, 0.0f));
  file_.read_values(*tensor, first, count, out);
  const detail::GgufTensorName& name = names_[at];
  using Role = detail::GgufRole;
  if (name.role == Role::norm) {
    const float* const kept = norms_.empty() ? nullptr : norms_.data() + name.first + first;
    for (std::int64_t i = 0; i < count; ++i) out[i] = detail::gguf_norm_weight(out[i], kept ? kept + i : nullptr);
  } else if (name.role == Role::query || name.role == Role::query_bias) {
    for (std::int64_t i = 0; i < count; ++i) out[i] = queries_.weight(out[i], name.first + first + i);
  }
}

MODERNGPT2_INLINE void GgufTensors::read(const TensorInfo& info, std::span<std::byte> out, std::uint64_t offset) const {
  const auto copy = [&]<class T>(T) {
    const auto size = std::uint64_t(sizeof(T));
    if (offset % size != 0 || out.size() % size != 0 || offset > info.bytes() || out.size() > info.bytes() - offset)
      throw Error("{}: tensor {} has {} bytes, {} were asked for at {}", path().string(), excerpt(info.name),
                  info.bytes(), out.size(), offset);
    std::array<T, 1 << 12> chunk;
    auto first = static_cast<std::int64_t>(offset / size);
    for (std::size_t done = 0; done < out.size();) {
      const std::size_t n = std::min(chunk.size(), (out.size() - done) / sizeof(T));
      read_as(info, chunk.data(), first, static_cast<std::int64_t>(n));
      std::memcpy(out.data() + done, chunk.data(), n * sizeof(T));
      done += n * sizeof(T), first += static_cast<std::int64_t>(n);
    }
  };
  switch (info.dtype) {
    case Dtype::f16:
      return copy(f16{});
    case Dtype::bf16:
      return copy(bf16{});
    default:
      return copy(float{});
  }
}

}  // namespace moderngpt2

#endif
