#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include "moderngpt2/config/model_shape.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/checkpoint_files.hpp"
#include "moderngpt2/io/config_file.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/io/model_files.hpp"
#include "moderngpt2/io/model_format.hpp"
#include "moderngpt2/io/tokenizer_files.hpp"
#include "moderngpt2/model/decoder.hpp"
#include "moderngpt2/model/heads.hpp"
#include "moderngpt2/model/parameters.hpp"

namespace moderngpt2 {

/// Names and shapes of the parameters of a model class of this library, under this library's names. Allocates no
/// weights. Throws an Error for an unknown class and for layers that are not the library's.
std::vector<ParameterInfo> parameter_table(const ConfigFile& file, const std::string& where);

/// Opened and checked model on the disk.
struct ConversionInput {
  std::filesystem::path path;
  ModelFormat format = ModelFormat::moderngpt2;
  ConfigFile config;
  Json json = Json::object();  ///< content of config.json, before any translation
  CheckpointTensors tensors;
  std::vector<ParameterInfo> table{};  ///< parameters of the model
  std::vector<std::string> names{};    ///< names of the parameters in the files
  TokenizerFiles tokenizer{};
  std::string generation{};  ///< text of generation_config.json

  /// Path of the tokenizer for Tokenizer::load().
  std::filesystem::path tokenizer_path() const {
    if (format == ModelFormat::gguf || std::filesystem::is_directory(path)) return path;
    return path.has_parent_path() ? path.parent_path() : ".";
  }

  /// Opens a folder, or a file of weights with config.json beside it. Throws an Error if tensors are missing, left over
  /// or of another shape than the config says.
  static ConversionInput open(const std::filesystem::path& path);
};

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2 {

MODERNGPT2_INLINE std::vector<ParameterInfo> parameter_table(const ConfigFile& file, const std::string& where) {
  require_library_layers(file.config, where);
  std::vector<ParameterInfo> table;
  const auto list_if = [&]<class Head>(std::type_identity<Head>) {
    if (file.architecture == Head::architecture) table = Decoder<any_shape, Head>(file.config).list();
  };
  list_if(std::type_identity<LanguageModelHead<dynamic, Toggle::dynamic>>{});
  list_if(std::type_identity<DoubleHeads<dynamic, Toggle::dynamic>>{});
  list_if(std::type_identity<SequenceClassificationHead<dynamic>>{});
  list_if(std::type_identity<TokenClassificationHead<dynamic>>{});
  list_if(std::type_identity<QuestionAnsweringHead<dynamic>>{});
  if (table.empty())
    throw Error("{}: architectures: {} is a class of another program: convert with that program", where,
                excerpt(file.architecture));
  return table;
}

MODERNGPT2_INLINE ConversionInput ConversionInput::open(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) throw Error("{} does not exist", path.string());
  const bool is_folder = std::filesystem::is_directory(path, error), is_file = !is_folder && is_gguf(path);
  const std::filesystem::path folder = is_folder ? path : path.parent_path();
  const std::filesystem::path config_path = is_file ? path : folder / "config.json";
  Json json = is_file ? Json() : read_json_file(config_path);
  ConfigFile config = is_file ? read_config(path) : parse_config(json, config_path.string());
  if (is_file) json = config.json;
  ConversionInput input{
      .path = path, .config = std::move(config), .json = std::move(json), .tensors = CheckpointTensors(path)};
  if (is_file) input.format = ModelFormat::gguf;
  if (input.config.model_type == "gemma2") input.format = ModelFormat::gemma2;
  input.table = parameter_table(input.config, config_path.string());
  for (const ParameterInfo& p : input.table) input.names.push_back(name_in_file(p, input.config));
  detail::require_same_tensors(input.tensors, input.table, input.names, input.config.config);
  if (is_file) {
    if (TokenizerFiles::is_in(path)) input.tokenizer = TokenizerFiles::read(path);
    return input;
  }
  input.tokenizer = TokenizerFiles::read(input.tokenizer_path());
  if (const auto file = folder / "generation_config.json"; std::filesystem::exists(file, error))
    input.generation = read_file(file);
  return input;
}

}  // namespace moderngpt2

#endif
