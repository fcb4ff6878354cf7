#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/config_file.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/io/file_hash.hpp"
#include "moderngpt2/io/folder.hpp"
#include "moderngpt2/io/gemma2_export.hpp"
#include "moderngpt2/io/generation_config.hpp"
#include "moderngpt2/io/model_files.hpp"
#include "moderngpt2/io/model_format.hpp"
#include "moderngpt2/io/query_scale.hpp"
#include "moderngpt2/io/tokenizer_files.hpp"

// Model folders in Hugging Face's format: save_model(folder, model, tokenizer) writes one, load_model<M>(folder) of
// io/model_files.hpp and Tokenizer::load(folder) read it, and so does `generate --model_path`.
namespace moderngpt2 {

/// Content of a model folder's files other than the weights. {}: config.json and generation_config.json of the model,
/// no tokenizer. A plain value: no thread rules.
struct ModelCompanions {
  ConfigFile config{};  ///< further fields of config.json (`json`, `eos_token_ids`); the rest is the model's own
  TokenizerFiles tokenizer{};
  std::optional<GenerationConfigFile> generation{};  ///< if empty, derived from `config`
  ModelFormat format = ModelFormat::moderngpt2;      ///< moderngpt2 or gemma2
  TokenizerFiles gemma2_tokenizer{};                 ///< files for gemma2; if empty, `tokenizer`
};

/// Name of a C++ element type in config.json; see torch_dtype_name(Dtype).
template <class T>
constexpr const char* torch_dtype_name() {
  return torch_dtype_name(dtype_of<T>.value_or(Dtype::f32));
}

/// Companions of a model: its config and the name of its class, with the other fields of `companions`.
template <class M>
ModelCompanions companions_of(const M& model, ModelCompanions companions = {}) {
  companions.config.config = model.config();
  if constexpr (requires { M::Head::architecture; }) companions.config.architecture = M::Head::architecture;
  return companions;
}

/// Writes a model folder in Hugging Face's format: weights, config.json, generation_config.json, and the tokenizer's
/// files. Makes the folder and its parents. `dtype`: torch_dtype_name() of the weights. Returns name, size and hash of
/// each file. Throws an Error that names a file that cannot be written, or, for gemma2, a field that Gemma 2 cannot
/// express.
std::vector<FileRecord> write_model_folder(const std::filesystem::path& folder, std::span<const TensorSource> weights,
                                           const char* dtype, const ModelCompanions& companions);

/// Writes `weights` of a model, from the memory of its backend.
template <class M, class E>
std::vector<FileRecord> write_model_folder(const std::filesystem::path& folder, const M& model,
                                           ParameterPlaces<E> weights, const ModelCompanions& companions) {
  return write_model_folder(folder, tensor_sources(model.backend(), weights, model.parameters()),
                            torch_dtype_name<typename E::MatrixType>(), companions_of(model, companions));
}

/// Writes a model folder: the weights with the precision they have in the model, config.json, generation_config.json,
/// and the files of `companions`. load_model<M>(folder) reads it. Trainer::save_model() writes fp32 master weights
/// instead. Throws an Error if the model is sharded (ZeRO stage 3), if another thread changes its weights, or if a file
/// cannot be written.
template <class M>
std::vector<FileRecord> save_model(const std::filesystem::path& folder, const M& model,
                                   const ModelCompanions& companions = {}) {
  if (model.is_sharded())
    throw Error("{}: this process has only a shard of the model: save it with the trainer's save_model()",
                folder.string());
  const auto use = model.shared_use();
  return write_model_folder(folder, model, ParameterPlaces(model.weights()), companions);
}

/// Writes a model folder with a tokenizer that Tokenizer::load() has read; `generate --model_path` opens it. Throws an
/// Error also if the tokenizer's files are missing or have changed since, or if it has more tokens than the model.
template <class M, class Tokenizer>
  requires requires(const Tokenizer& t) { t.path(), t.files(), t.fingerprint(), t.vocab_size(); }
std::vector<FileRecord> save_model(const std::filesystem::path& folder, const M& model, const Tokenizer& tokenizer) {
  if (tokenizer.path().empty())
    throw Error(
        "{}: the tokenizer was not loaded from a file, so that it cannot be copied: write its tokenizer.json "
        "to a folder and load it with Tokenizer::load()",
        folder.string());
  ModelCompanions companions;
  companions.tokenizer = TokenizerFiles::read(tokenizer.path(), tokenizer.files().at(0).name);
  if (companions.tokenizer.fingerprint() != tokenizer.fingerprint())
    throw Error("{}: the tokenizer has changed since it was loaded: load it again", tokenizer.path().string());
  if (tokenizer.vocab_size() > model.config().vocab_size)
    throw Error("{}: the tokenizer {} has {} tokens, more than the model's vocab_size {}", folder.string(),
                tokenizer.path().string(), tokenizer.vocab_size(), model.config().vocab_size);
  return save_model(folder, model, companions);
}

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2 {

MODERNGPT2_INLINE std::vector<FileRecord> write_model_folder(const std::filesystem::path& folder,
                                                             std::span<const TensorSource> weights, const char* dtype,
                                                             const ModelCompanions& companions) {
  const bool is_gemma2 = companions.format == ModelFormat::gemma2;
  if (is_gemma2) require_gemma2(companions.config, folder.string());
  make_folder(folder);
  std::error_code absent;
  std::filesystem::remove(folder / original_queries_name, absent);  // an earlier model
  Json config = config_to_json(companions.config);
  config.erase("dtype");  // newer name of torch_dtype
  config["torch_dtype"] = dtype;
  TokenizerFiles tokenizer = companions.tokenizer;
  std::vector<FileRecord> files;
  if (is_gemma2) {
    const Gemma2Weights exported = gemma2_weights(weights, companions.config.config);
    files = write_sharded(folder, exported.tensors);
    if (const auto originals = exported.write_originals(folder)) files.push_back(*originals);
    if (!companions.gemma2_tokenizer.files.empty()) tokenizer = companions.gemma2_tokenizer;
    Json remembered{{"config", std::move(config)}};
    if (const auto before = require_plain_tokenizer(tokenizer)) remembered["tokenizer_class"] = *before;
    config = config_to_gemma2(companions.config, std::move(remembered), dtype);
  } else {
    files = write_sharded(folder, weights);
  }
  files.push_back(write_json_file(folder / "config.json", config));
  files.push_back(write_generation_config(
      folder / "generation_config.json",
      companions.generation ? *companions.generation : generation_config_from(companions.config)));
  for (FileRecord& file : tokenizer.write(folder)) files.push_back(std::move(file));
  return files;
}

}  // namespace moderngpt2

#endif
