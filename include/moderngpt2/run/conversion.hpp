#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "moderngpt2/core/dtype.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/checkpoint_files.hpp"
#include "moderngpt2/io/config_file.hpp"
#include "moderngpt2/io/folder.hpp"
#include "moderngpt2/io/gemma2_export.hpp"
#include "moderngpt2/io/gemma2_restore.hpp"
#include "moderngpt2/io/generation_config.hpp"
#include "moderngpt2/io/model_files.hpp"
#include "moderngpt2/io/model_format.hpp"
#include "moderngpt2/io/query_scale.hpp"
#include "moderngpt2/io/safetensors_writer.hpp"
#include "moderngpt2/io/stored_source.hpp"
#include "moderngpt2/io/tokenizer_files.hpp"
#include "moderngpt2/model/parameters.hpp"
#include "moderngpt2/run/conversion_input.hpp"
#include "moderngpt2/run/conversion_tokenizer.hpp"
#include "moderngpt2/training/checkpoint/checkpoint_folder.hpp"

namespace moderngpt2 {

/// A conversion: convert_checkpoint's flags.
struct ConversionRequest {
  std::filesystem::path input, output;
  std::optional<ModelFormat> format{};  ///< empty: gguf for an output named *.gguf, otherwise the input's own
  std::optional<WeightType> dtype{};    ///< empty: as stored
  std::uint64_t max_shard_bytes = 5'000'000'000;
};

/// Result of a conversion.
struct ConversionResult {
  ModelFormat format = ModelFormat::moderngpt2;
  std::filesystem::path output;
  std::uint64_t bytes = 0;             ///< of the weights
  std::string types;                   ///< element types of the weights, such as "F32" or "F32, BF16"
  std::vector<std::string> notes;      ///< lines for the user
  std::vector<std::string> files{};    ///< names of the written files
};

/// Called with the bytes of weights written so far and their total. May throw to stop: nothing is left behind.
using ConversionProgress = std::function<void(std::uint64_t done, std::uint64_t total)>;

/// Converts a model from one format or element type to another. Weights are converted piece by piece, in 2 MiB of
/// memory. The output appears complete or not at all. Throws an Error that names a field that the target cannot
/// express, a tensor that does not fit, or an output that exists.
ConversionResult convert_checkpoint(const ConversionRequest& request, const ConversionProgress& progress);

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2::detail {

/// Model to write: tensors under this library's names (in `gemma2`: under Gemma 2's).
struct ConvertedModel {
  Json config;                         ///< config.json of the target
  std::vector<TensorSource> tensors;
  Gemma2Weights queries{};             ///< `originals` and `hashes` of scaled queries
  TokenizerFiles tokenizer{};
  std::string generation;              ///< text of generation_config.json
};

/// Sets the element type in config.json, under the names that it has there; `always`: as torch_dtype if it has none.
MODERNGPT2_INLINE void set_dtype(Json& config, std::string_view dtype, bool always) {
  bool found = false;
  for (const char* name : {"torch_dtype", "dtype"})
    if (config.contains(name)) config[name] = dtype, found = true;
  if (!found && always) config["torch_dtype"] = dtype;
}

/// Sources in a type that loses nothing before a scaling: the wider one of the stored and the requested type.
MODERNGPT2_INLINE TensorSource wide_source(const CheckpointTensors& file, const TensorInfo& info, std::string name,
                                           std::optional<Dtype> dtype) {
  TensorSource source = stored_source(file, info, std::move(name));
  const bool both_narrow = dtype && *dtype != source.dtype && dtype_bits(*dtype) == 16 && dtype_bits(source.dtype) == 16;
  if (both_narrow) return converted_source(std::move(source), Dtype::f32);
  if (dtype && dtype_bits(*dtype) > dtype_bits(source.dtype)) return converted_source(std::move(source), *dtype);
  return source;
}

MODERNGPT2_INLINE void narrow(std::vector<TensorSource>& tensors, std::optional<Dtype> dtype) {
  if (!dtype) return;
  for (TensorSource& tensor : tensors) tensor = converted_source(std::move(tensor), *dtype);
}

/// Sources of the input's tensors under this library's names; queries that an export scaled are the original ones if
/// `originals` has them.
MODERNGPT2_INLINE std::vector<TensorSource> input_sources(const ConversionInput& input, std::optional<Dtype> dtype,
                                                          const CheckpointTensors* originals) {
  std::vector<TensorSource> sources;
  for (std::size_t i = 0; i < input.table.size(); ++i) {
    const std::string& name = input.table[i].name;
    if (originals && is_query_tensor(name))
      sources.push_back(wide_source(*originals, originals->at(name), name, dtype));
    else
      sources.push_back(wide_source(input.tensors, input.tensors.at(input.names[i]), name, dtype));
  }
  return sources;
}

/// Multiplies the queries of `sources` by a factor.
MODERNGPT2_INLINE void scale_queries(std::vector<TensorSource>& sources, double factor) {
  for (TensorSource& source : sources)
    if (is_query_tensor(source.name)) source = scaled_source(std::move(source), factor);
}

/// Prepares a gemma2 folder from a model of another format.
MODERNGPT2_INLINE void plan_gemma2(const ConversionInput& input, std::optional<Dtype> dtype, ConvertedModel& out,
                                   std::vector<std::string>& notes) {
  const std::string where = input.path.string();
  require_gemma2(input.config, where);
  for (std::string& note : gemma2_notes(input.config.config)) notes.push_back(std::move(note));
  out.queries = gemma2_weights(input_sources(input, dtype, nullptr), input.config.config);
  out.tensors = std::move(out.queries.tensors);
  narrow(out.tensors, dtype);
  narrow(out.queries.originals, dtype);
  // Hashes are those of the written bytes.
  if (!out.queries.originals.empty())
    for (TensorSource& tensor : out.tensors)
      if (out.queries.hashes->contains(tensor.name)) tensor = hashed_source(std::move(tensor), out.queries.hashes);
}

}  // namespace moderngpt2::detail

#endif
