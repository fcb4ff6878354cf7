#pragma once

#include <array>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/config_file.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/io/generation_config.hpp"
#include "moderngpt2/io/model_files.hpp"

namespace moderngpt2 {

/// Content of a tokenizer's files, read when a run begins and copied into every model folder that it writes.
struct TokenizerFiles {
  static constexpr std::array<const char*, 8> names{"tokenizer.json",
                                                    "tokenizer.model",
                                                    "tokenizer_config.json",
                                                    "special_tokens_map.json",
                                                    "added_tokens.json",
                                                    "chat_template.jinja",
                                                    "vocab.json",
                                                    "merges.txt"};
  std::vector<std::pair<std::string, std::string>> files;  ///< name and content

  /// Reads the files in `names` that exist in a folder, or in the folder of a tokenizer.json.
  static TokenizerFiles read(const std::filesystem::path& folder_or_file) {
    const bool folder = std::filesystem::is_directory(folder_or_file);
    const std::filesystem::path home = folder ? folder_or_file : folder_or_file.parent_path();
    TokenizerFiles result;
    for (const std::string name : names) {
      const std::filesystem::path path = name == names[0] && !folder ? folder_or_file : home / name;
      if (std::filesystem::exists(path)) result.files.emplace_back(name, read_file(path));
    }
    return result;
  }

  std::vector<FileRecord> write(const std::filesystem::path& folder) const {
    std::vector<FileRecord> written;
    for (const auto& [name, content] : files) written.push_back(write_file(folder / name, content));
    return written;
  }
};

/// Content of a model folder's files other than the weights.
struct ModelCompanions {
  ConfigFile config;
  TokenizerFiles tokenizer;
  std::optional<GenerationConfigFile> generation{};  ///< if empty, derived from `config`
};

/// Name of an element type in config.json (torch_dtype): "bfloat16", "float16", "float32" or "float64".
template <class T>
constexpr const char* torch_dtype_name() {
  if constexpr (std::is_same_v<T, bf16>)
    return "bfloat16";
  else if constexpr (std::is_same_v<T, f16>)
    return "float16";
  else
    return std::is_same_v<T, double> ? "float64" : "float32";
}

/// Writes a model folder in Hugging Face's format: weights, config.json, generation_config.json, and the tokenizer's
/// files. `dtype`: torch_dtype_name() of the weights. Returns name, size and hash of each file.
std::vector<FileRecord> save_model(const std::filesystem::path& folder, std::span<const TensorSource> weights,
                                   const char* dtype, const ModelCompanions& companions);
/// Writes `weights` from the memory of the model's backend.
template <class M, class E>
std::vector<FileRecord> save_model(const std::filesystem::path& folder, const M& model, ParameterPlaces<E> weights,
                                   const ModelCompanions& companions) {
  return save_model(folder, tensor_sources(model.backend(), weights, model.parameters()),
                    torch_dtype_name<typename E::MatrixType>(), companions);
}
template <class M>
std::vector<FileRecord> save_model(const std::filesystem::path& folder, const M& model,
                                   const ModelCompanions& companions) {
  return save_model(folder, model, ParameterPlaces(model.weights()), companions);
}

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2 {

MODERNGPT2_INLINE std::vector<FileRecord> save_model(const std::filesystem::path& folder,
                                                     std::span<const TensorSource> weights, const char* dtype,
                                                     const ModelCompanions& companions) {
  std::vector<FileRecord> files = write_sharded(folder, weights);
  Json config = config_to_json(companions.config);
  config.erase("dtype");  // newer name of torch_dtype
  config["torch_dtype"] = dtype;
  files.push_back(write_json_file(folder / "config.json", config));
  files.push_back(write_generation_config(
      folder / "generation_config.json",
      companions.generation ? *companions.generation : generation_config_from(companions.config)));
  for (FileRecord& file : companions.tokenizer.write(folder)) files.push_back(std::move(file));
  return files;
}

}  // namespace moderngpt2

#endif
