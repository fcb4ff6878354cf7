#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "moderngpt2/core/dtype.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/checkpoint_files.hpp"
#include "moderngpt2/io/config_file.hpp"
#include "moderngpt2/io/gemma2_export.hpp"
#include "moderngpt2/io/gemma2_restore.hpp"
#include "moderngpt2/io/generation_config.hpp"
#include "moderngpt2/io/gguf/metadata.hpp"
#include "moderngpt2/io/gguf/tensor_types.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/io/model_format.hpp"
#include "moderngpt2/io/query_scale.hpp"
#include "moderngpt2/io/stored_source.hpp"
#include "moderngpt2/io/tokenizer_files.hpp"
#include "moderngpt2/run/conversion_input.hpp"
#include "moderngpt2/run/conversion_tokenizer.hpp"
#include "moderngpt2/tokenizer/gguf_export.hpp"

namespace moderngpt2 {

/// Content of the files that a conversion writes. Tensors refer to the input, which must live until they are read.
struct ConversionPlan {
  Json config = Json::object();         ///< config.json
  std::vector<TensorSource> tensors{};  ///< under the names of the target; for gguf: under this library's
  Gemma2Weights queries{};              ///< original queries for a gemma2 folder; its `tensors` are empty
  TokenizerFiles tokenizer{};
  std::string generation{};  ///< text of generation_config.json; empty: not written
  GgufMetadata gguf_tokenizer = gguf_without_tokenizer();
  std::shared_ptr<const CheckpointTensors> originals{};  ///< original queries of a gemma2 input; may be null
  bool scales_queries = false;                           ///< weights of queries are rounded once more
  std::vector<std::string> notes{};                      ///< lines for the user
};

/// Plans a conversion. Throws an Error that names the field of the config that the target cannot express.
ConversionPlan plan_conversion(const ConversionInput& input, ModelFormat target, std::optional<GgufDtype> dtype);

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2::detail {

/// Type of a folder's tensors.
MODERNGPT2_INLINE std::optional<Dtype> tensor_dtype(std::optional<GgufDtype> dtype) {
  if (dtype == GgufDtype::f32) return Dtype::f32;
  if (dtype == GgufDtype::f16) return Dtype::f16;
  if (dtype == GgufDtype::bf16) return Dtype::bf16;
  return std::nullopt;
}

/// Value of torch_dtype for tensors.
MODERNGPT2_INLINE std::string torch_dtype_of(const std::vector<TensorSource>& tensors) {
  return torch_dtype_name(tensors.empty() ? Dtype::f32 : tensors.front().dtype);
}

/// Sets the element type in a config.json under the names that it has there, torch_dtype if it has none.
MODERNGPT2_INLINE void set_torch_dtype(Json& config, const std::string& dtype) {
  bool found = false;
  for (const char* name : {"torch_dtype", "dtype"})
    if (config.contains(name)) config[name] = dtype, found = true;
  if (!found) config["torch_dtype"] = dtype;
}

/// Source of a stored tensor for a scaling and a conversion to `dtype`: in the wider one of both types.
MODERNGPT2_INLINE TensorSource wide_source(const CheckpointTensors& file, const TensorInfo& info, std::string name,
                                           std::optional<Dtype> dtype) {
  TensorSource source = stored_source(file, info, std::move(name));
  if (!dtype || *dtype == source.dtype) return source;
  const int bits = dtype_bits(*dtype), own = dtype_bits(source.dtype);
  if (bits == own) return converted_source(std::move(source), Dtype::f32);  // F16 and BF16
  return bits > own ? converted_source(std::move(source), *dtype) : source;
}

/// Sources of the input's tensors under this library's names. Queries are those of plan.originals if it has them, and
/// otherwise multiplied by `query_factor`.
MODERNGPT2_INLINE std::vector<TensorSource> input_sources(const ConversionInput& input, const ConversionPlan& plan,
                                                          std::optional<Dtype> dtype, double query_factor = 1) {
  std::vector<TensorSource> sources;
  for (std::size_t i = 0; i < input.table.size(); ++i) {
    const std::string& name = input.table[i].name;
    const bool is_query = is_query_tensor(name);
    const bool is_original = is_query && plan.originals;
    const CheckpointTensors& file = is_original ? *plan.originals : input.tensors;
    TensorSource source = wide_source(file, file.at(is_original ? name : input.names[i]), name, dtype);
    if (is_query && query_factor != 1 && !is_original) source = scaled_source(std::move(source), query_factor);
    sources.push_back(std::move(source));
  }
  return sources;
}

/// Opens the original queries of a gemma2 input, if it has them.
MODERNGPT2_INLINE void open_originals(const ConversionInput& input, ConversionPlan& plan) {
  std::vector<std::pair<std::string, std::string>> names;
  for (std::size_t i = 0; i < input.table.size(); ++i)
    if (is_query_tensor(input.table[i].name)) names.emplace_back(input.table[i].name, input.names[i]);
  if (std::optional<CheckpointTensors> found = find_original_queries(input.tensors, names))
    plan.originals = std::make_shared<const CheckpointTensors>(std::move(*found));
}

MODERNGPT2_INLINE void plan_same_format(const ConversionInput& input, std::optional<Dtype> dtype,
                                        ConversionPlan& plan) {
  plan.config = input.json;
  const bool is_gemma2 = input.format == ModelFormat::gemma2;
  if (is_gemma2) open_originals(input, plan);
  for (std::size_t i = 0; i < input.table.size(); ++i) {
    const std::string &name = input.table[i].name, &stored = input.names[i];
    TensorSource source = stored_source(input.tensors, input.tensors.at(stored), stored);
    source = converted_source(std::move(source), dtype.value_or(source.dtype));
    if (plan.originals && is_query_tensor(name)) {
      source = hashed_source(std::move(source), plan.queries.hashes);
      TensorSource original = stored_source(*plan.originals, plan.originals->at(name), name);
      plan.queries.originals.push_back(converted_source(std::move(original), dtype.value_or(original.dtype)));
    }
    plan.tensors.push_back(std::move(source));
  }
}

MODERNGPT2_INLINE void set_tokenizer_class(TokenizerFiles& tokenizer, const std::string& name) {
  for (auto& [file, content] : tokenizer.files) {
    if (file != "tokenizer_config.json") continue;
    Json json = parse_json(content, file);
    if (!json.is_object()) continue;
    if (name.empty())
      json.erase("tokenizer_class");
    else
      json["tokenizer_class"] = name;
    content = json_text(json, file);
  }
}

/// Folder of this library from a gemma2 folder. A model that was exported gets its own config and weights back.
MODERNGPT2_INLINE void plan_from_gemma2(const ConversionInput& input, std::optional<Dtype> dtype,
                                        ConversionPlan& plan) {
  RestoredConfig restored = restore_config(input.config, input.json, input.path.string());
  plan.config = std::move(restored.json);
  for (std::string& note : restored.notes) plan.notes.push_back(std::move(note));
  if (restored.tokenizer_class) set_tokenizer_class(plan.tokenizer, *restored.tokenizer_class);
  double factor = 1;
  if (restored.is_exported) factor = query_factor(parse_config(plan.config, input.path.string()).config);
  const bool is_rounded = !scales_exactly(factor);
  if (is_rounded) open_originals(input, plan);
  if (is_rounded && !plan.originals) {
    plan.notes.push_back(fmt::format(
        "the query weights have changed since the export, or {} is missing: they keep the factor {} of the export, and "
        "query_pre_attn_scalar becomes null",
        original_queries_name, factor));
    plan.config["query_pre_attn_scalar"] = nullptr;
    factor = 1;
  }
  plan.tensors = input_sources(input, plan, dtype, 1 / factor);
}

MODERNGPT2_INLINE void plan_gemma2(const ConversionInput& input, std::optional<Dtype> dtype, ConversionPlan& plan) {
  const std::string where = input.path.string();
  require_gemma2(input.config, where);
  for (std::string& note : gemma2_notes(input.config.config)) plan.notes.push_back(std::move(note));
  const double factor = query_factor(input.config.config);
  plan.queries = gemma2_weights(input_sources(input, plan, dtype), input.config.config, dtype);
  plan.tensors = std::exchange(plan.queries.tensors, {});
  plan.scales_queries = !scales_exactly(factor);
  if (factor != 1)
    plan.notes.push_back(fmt::format(
        "the weights of the queries are multiplied by {:.6g}, since Gemma 2 here multiplies queries by head_dim^-0.5{}",
        factor, plan.scales_queries ? fmt::format("; {} keeps the original ones", original_queries_name) : ""));
  const std::string type = torch_dtype_of(plan.tensors);
  Json remembered{{"config", input.json}};
  if (dtype) set_torch_dtype(remembered["config"], type);
  for (std::string& note : add_tokenizer_json(plan.tokenizer, input.tokenizer_path(), input.config.config.n_positions))
    plan.notes.push_back(std::move(note));
  if (const std::optional<std::string> before = require_plain_tokenizer(plan.tokenizer))
    remembered["tokenizer_class"] = *before;
  plan.config = config_to_gemma2(input.config, std::move(remembered), type);
}

}  // namespace moderngpt2::detail

namespace moderngpt2 {

MODERNGPT2_INLINE ConversionPlan plan_conversion(const ConversionInput& input, ModelFormat target,
                                                 std::optional<GgufDtype> dtype) {
  ConversionPlan plan;
  plan.tokenizer = input.tokenizer;
  plan.generation = input.generation;
  if (plan.generation.empty() && input.format != target && target != ModelFormat::gguf)
    plan.generation =
        json_text(generation_config_to_json(generation_config_from(input.config)), "generation_config.json");
  const bool is_file = target == ModelFormat::gguf;  // write_gguf() scales and converts by itself
  const std::optional<Dtype> type = is_file ? std::nullopt : detail::tensor_dtype(dtype);
  if (target == input.format && !is_file) {
    detail::plan_same_format(input, type, plan);
  } else if (target == ModelFormat::gemma2) {
    detail::plan_gemma2(input, type, plan);
  } else if (input.format == ModelFormat::gemma2) {
    detail::plan_from_gemma2(input, type, plan);
  } else {
    plan.config = config_to_json(input.config);
    plan.tensors = detail::input_sources(input, plan, type);
  }
  if (is_file && TokenizerFiles::is_in(input.tokenizer_path()))
    plan.gguf_tokenizer = gguf_tokenizer(input.tokenizer_path(), input.config.config);
  for (TensorSource& tensor : plan.tensors) tensor = converted_source(std::move(tensor), type.value_or(tensor.dtype));
  if (type || input.format == ModelFormat::gguf)
    detail::set_torch_dtype(plan.config, detail::torch_dtype_of(plan.tensors));
  return plan;
}

}  // namespace moderngpt2

#endif
