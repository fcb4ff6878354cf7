#pragma once

#include <algorithm>
#include <bit>
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

#include "moderngpt2/config/layer_types.hpp"
#include "moderngpt2/core/dtype.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/config_file.hpp"
#include "moderngpt2/io/gguf/config.hpp"
#include "moderngpt2/io/gguf/exact_weights.hpp"
#include "moderngpt2/io/gguf/names.hpp"
#include "moderngpt2/io/gguf/writer.hpp"
#include "moderngpt2/io/safetensors_writer.hpp"

namespace moderngpt2 {

/// Metadata of a model's config. Throws Error that begins with `where` and names the field that the architecture gemma2
/// cannot express. The keys of the tokenizer are not among them.
GgufMetadata gguf_from_config(const ConfigFile& file, const std::string& where);

/// Writes a model as a GGUF file that llama.cpp and this library read (architecture gemma2). `tensors`: all weights
/// under this library's names, as F32, F16, BF16 or F64; each may be read twice. `dtype`: type of the matrices; norms
/// and biases are F32. As llama-quantize does, rows of q8_0 and q4_0 that are no multiple of 32 values are written as
/// f16, and the embedding of a q4_0 file, which is also the head, as q8_0. `tokenizer`: keys of the tokenizer, of
/// gguf_tokenizer() (tokenizer/gguf_export.hpp). `name`: general.name. Reading an f32 file returns every bit of the
/// weights.
///
/// Throws Error for a model that the architecture cannot express, naming the field, for tensors that do not fit the
/// config, and for values that `dtype` cannot store. Nothing is written then.
FileRecord write_gguf(const std::filesystem::path& path, const ConfigFile& config,
                      std::span<const TensorSource> tensors, GgufDtype dtype, const GgufMetadata& tokenizer,
                      const std::string& name);

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

/// Calls a source for a range of its elements, converted to float.
MODERNGPT2_INLINE void read_source(const TensorSource& source, std::int64_t first, std::span<float> out) {
  if (source.dtype == Dtype::f32)
    return source.fill(static_cast<std::uint64_t>(first) * sizeof(float), std::as_writable_bytes(out));
  const bool is_float = with_float_type(source.dtype, [&]<class T>(T value) {
    std::vector<std::byte> bytes(out.size() * sizeof(T));
    source.fill(static_cast<std::uint64_t>(first) * sizeof(T), bytes);
    for (std::size_t i = 0; i < out.size(); ++i) {
      std::memcpy(&value, bytes.data() + i * sizeof(T), sizeof(T));
      out[i] = static_cast<float>(value);
    }
  });
  if (!is_float)
    throw Error("tensor {} is {}, floating-point numbers are needed", source.name, dtype_name(source.dtype));
}

/// Calls f(float) for each element of a source.
template <class F>
void for_each_value(const TensorSource& source, std::int64_t count, F f) {
  std::vector<float> piece(static_cast<std::size_t>(std::min<std::int64_t>(count, 1 << 16)));
  for (std::int64_t first = 0; first < count;) {
    const std::int64_t n = std::min(static_cast<std::int64_t>(piece.size()), count - first);
    const auto values = std::span(piece).first(static_cast<std::size_t>(n));
    read_source(source, first, values);
    for (const float value : values) f(value);
    first += n;
  }
}

/// Type of a tensor in a file whose matrices have the type `dtype`.
inline GgufDtype gguf_dtype_of(const GgufTensorName& tensor, GgufDtype dtype) {
  if (tensor.shape.size() == 1) return GgufDtype::f32;
  if (dtype == GgufDtype::q4_0 && tensor.gguf_name == "token_embd.weight") dtype = GgufDtype::q8_0;
  const bool fits = static_cast<std::uint64_t>(tensor.shape[1]) % gguf_dtype_entry(dtype).values == 0;
  return fits ? dtype : GgufDtype::f16;
}

}  // namespace moderngpt2::detail

namespace moderngpt2 {

MODERNGPT2_INLINE GgufMetadata gguf_from_config(const ConfigFile& file, const std::string& where) {
  const Config& c = file.config;
  const auto refuse = [&](std::string_view field, const std::string& value, std::string_view what) {
    throw Error("{}: {} is {}; {}", where, field, value, what);
  };
  if (file.architecture != architectures[0])
    refuse("architectures", file.architecture,
           "llama.cpp's gemma2 has no such head. Convert a ModernGPT2LMHeadModel, or choose another format.");
  if (!c.blocks.is_standard())
    refuse("blocks", "given", "GGUF cannot express a model with layers of its own. Choose the format moderngpt2.");
  if (!c.tied_head)
    refuse("tie_word_embeddings", "false",
           "llama.cpp's gemma2 uses the embedding as output head. Train with tied embeddings, or choose another "
           "format.");
  if (c.activation != Activation::gelu_tanh)
    refuse("activation_function", std::string(activation_name(c.activation)),
           "llama.cpp's gemma2 computes gelu_pytorch_tanh only. Choose another format.");
  GgufMetadata out(where);
  const auto integer = [&](const char* key, int value) {
    out.add(key, GgufValue::number(static_cast<std::uint32_t>(value)));
  };
  const auto real = [&](const char* key, double value) { out.add(key, GgufValue::number(static_cast<float>(value))); };
  out.add("general.architecture", GgufValue::text("gemma2"));
  integer("gemma2.context_length", c.n_positions);
  integer("gemma2.embedding_length", c.n_embd);
  integer("gemma2.block_count", c.n_layer);
  integer("gemma2.feed_forward_length", c.n_inner);
  integer("gemma2.attention.head_count", c.n_head);
  integer("gemma2.attention.head_count_kv", c.n_kv_head);
  real("gemma2.attention.layer_norm_rms_epsilon", c.rms_norm_eps);
  integer("gemma2.attention.key_length", c.head_dim);
  integer("gemma2.attention.value_length", c.head_dim);
  // A window as wide as the context is none. Without a pattern, layers 0, 2, 4, ... slide.
  const LayerWindows windows = c.windows();
  const bool slides = windows.width > 0 && windows.types.sliding(c.n_layer) > 0;
  integer("gemma2.attention.sliding_window", slides ? windows.width : c.n_positions);
  if (slides && windows.types != LayerTypes()) {
    std::vector<bool> layers;
    for (int i = 0; i < c.n_layer; ++i) layers.push_back(windows.types[i] == AttentionType::sliding);
    out.add("gemma2.attention.sliding_window_pattern", GgufValue::booleans(layers));
  }
  real("gemma2.attn_logit_softcapping", c.attn_logit_softcapping.value_or(detail::gguf_no_cap));
  real("gemma2.final_logit_softcapping", c.final_logit_softcapping.value_or(detail::gguf_no_cap));
  real("gemma2.rope.freq_base", c.rope_theta);
  integer("gemma2.rope.dimension_count", c.head_dim);
  if (c.rope_scaling_factor != 1.0) {
    out.add("gemma2.rope.scaling.type", GgufValue::text("linear"));
    real("gemma2.rope.scaling.factor", c.rope_scaling_factor);
  }
  integer("gemma2.vocab_size", c.vocab_size);
  out.add(std::string(detail::gguf_config_key),
          GgufValue::text(config_to_json(file).dump(-1, ' ', false, Json::error_handler_t::replace)));
  return out;
}

MODERNGPT2_INLINE FileRecord write_gguf(const std::filesystem::path& path, const ConfigFile& config,
                                        std::span<const TensorSource> tensors, GgufDtype dtype,
                                        const GgufMetadata& tokenizer, const std::string& name) {
  using Role = detail::GgufRole;
  const Config& c = config.config;
  GgufMetadata metadata = gguf_from_config(config, path.string());
  metadata.add("general.type", GgufValue::text("model"));
  metadata.add("general.name", GgufValue::text(name));
  metadata.add("general.alignment", GgufValue::number(std::uint32_t{32}));
  metadata.add("general.file_type", GgufValue::number(detail::gguf_dtype_entry(dtype).file_type));
  if (dtype == GgufDtype::q8_0 || dtype == GgufDtype::q4_0)
    metadata.add("general.quantization_version", GgufValue::number(std::uint32_t{2}));
  metadata.add(tokenizer);

  std::unordered_map<std::string_view, const TensorSource*> sources;
  for (const TensorSource& source : tensors) sources.emplace(source.name, &source);
  const double factor = detail::gguf_query_factor(c);
  detail::GgufQueryRounding rounding(factor);
  std::vector<float> norms;
  std::vector<GgufSource> written;
  for (const detail::GgufTensorName& tensor : detail::gguf_tensor_names(c)) {
    const auto found = sources.find(tensor.name);
    if (found == sources.end())
      throw Error("{}: the model has no tensor {}, which its config requires", path.string(), tensor.name);
    const TensorSource& source = *found->second;
    if (source.shape != tensor.shape)
      throw Error("{}: tensor {} has the shape {}, the config requires {}", path.string(), tensor.name,
                  shape_text(source.shape), shape_text(tensor.shape));
    sources.erase(found);
    const std::int64_t count = tensor.shape[0] * (tensor.shape.size() == 2 ? tensor.shape[1] : 1);
    const GgufDtype own = detail::gguf_dtype_of(tensor, dtype);
    if (tensor.role == Role::output_bias) {
      detail::for_each_value(source, count, [&](float value) {
        if (value != 0)
          throw Error(
              "{}: attention_bias is true and {} is not zero; llama.cpp's gemma2 has no bias in o_proj. Choose another "
              "format.",
              path.string(), tensor.name);
      });
      continue;
    }
    if (tensor.role == Role::norm) detail::for_each_value(source, count, [&](float w) { norms.push_back(w); });
    const bool is_query = tensor.role == Role::query || tensor.role == Role::query_bias;
    if (is_query && factor != 1 && dtype == GgufDtype::f32)
      detail::for_each_value(source, count, [&](float w) { rounding.add(w); });
    GgufSource out{tensor.gguf_name, {}, own, {}};
    for (auto n = tensor.shape.rbegin(); n != tensor.shape.rend(); ++n)
      out.dims.push_back(static_cast<std::uint64_t>(*n));
    out.values = [&source, role = tensor.role, factor](std::int64_t first, std::span<float> values) {
      detail::read_source(source, first, values);
      if (role == Role::norm)
        for (float& w : values) w += 1.0f;
      if ((role == Role::query || role == Role::query_bias) && factor != 1)
        for (float& w : values) w = detail::gguf_scaled_query(w, factor);
    };
    written.push_back(std::move(out));
  }
  for (const auto& [other, source] : sources)
    if (other != "lm_head.weight")
      throw Error("{}: tensor {} does not belong to a model with this config", path.string(), excerpt(other));
  const auto is_lost = [](float w) {
    return std::bit_cast<std::uint32_t>(detail::gguf_norm_weight(w + 1.0f, nullptr)) != std::bit_cast<std::uint32_t>(w);
  };
  if (std::any_of(norms.begin(), norms.end(), is_lost))
    metadata.add(std::string(detail::gguf_norms_key), GgufValue::numbers(norms));
  rounding.write(metadata);
  return write_gguf_file(path, metadata, written);
}

}  // namespace moderngpt2

#endif
