#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#if !__has_include(<yaml-cpp/yaml.h>)
#error "moderngpt2: <yaml-cpp/yaml.h> not found: link moderngpt2::data (find_package(moderngpt2 COMPONENTS data))"
#endif
#include <yaml-cpp/yaml.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/data/yaml.hpp"
#include "moderngpt2/io/file.hpp"

namespace moderngpt2 {

/// Counts of one language: documents, `tokens` including each document's eos, `bytes` of UTF-8 text.
struct LanguageCounts {
  std::string language;
  std::int64_t documents = 0, tokens = 0, bytes = 0;
};

/// Content of metadata.yaml: shards of a pre-tokenized data set and how they were made. Only the file lists are
/// required; other missing fields are 0 or empty.
struct DatasetMetadata {
  std::vector<std::string> train_files, eval_files;  ///< relative to the YAML file, else to the working directory
  std::int64_t eval_size = 10000;                    ///< maximum number of rows read from each eval file
  int block_size = 0;
  std::int64_t vocab_size = 0, train_blocks = 0, eval_blocks = 0;
  std::string tokenizer_fingerprint;
  double bpe_dropout = 0;  ///< BPE dropout of the training blocks; only written if not 0
  std::uint64_t seed = 0;  ///< seed of bpe_dropout
  std::vector<LanguageCounts> languages;
};

namespace detail {

template <class T>
T yaml_value(const YAML::Node& node, const std::string& field, const std::filesystem::path& path, T fallback) {
  if (!node || node.IsNull()) return fallback;
  try {
    return node.as<T>();
  } catch (const YAML::Exception&) {
    throw Error("{}:{}: the field '{}' has a value of the wrong type", path.string(), node.Mark().line + 1, field);
  }
}

std::int64_t yaml_count(const YAML::Node& map, const std::string& field, const std::filesystem::path& path,
                        std::int64_t fallback);

std::vector<std::string> yaml_files(const YAML::Node& map, const std::string& field, const std::filesystem::path& path);

}  // namespace detail

/// Writes metadata.yaml atomically.
void write_metadata(const std::filesystem::path& path, const DatasetMetadata& metadata);

/// Reads metadata.yaml; unknown fields are ignored. Throws Error that names the file and the field or line.
DatasetMetadata read_metadata(const std::filesystem::path& path);

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2::detail {

MODERNGPT2_INLINE std::int64_t yaml_count(const YAML::Node& map, const std::string& field,
                                          const std::filesystem::path& path, std::int64_t fallback) {
  const std::int64_t value = yaml_value<std::int64_t>(map[field], field, path, fallback);
  if (value < 0) throw Error("{}: the field '{}' is negative ({})", path.string(), field, value);
  return value;
}

MODERNGPT2_INLINE std::vector<std::string> yaml_files(const YAML::Node& map, const std::string& field,
                                                      const std::filesystem::path& path) {
  const YAML::Node node = map[field];
  if (node && node.IsScalar()) return {yaml_value<std::string>(node, field, path, "")};
  return yaml_value<std::vector<std::string>>(node, field, path, {});
}

}  // namespace moderngpt2::detail

namespace moderngpt2 {

MODERNGPT2_INLINE void write_metadata(const std::filesystem::path& path, const DatasetMetadata& metadata) {
  YAML::Emitter out;
  out << YAML::BeginMap;
  out << YAML::Key << "train" << YAML::Value << metadata.train_files;
  out << YAML::Key << "eval" << YAML::Value << metadata.eval_files;
  out << YAML::Key << "eval_size" << YAML::Value << metadata.eval_size;
  out << YAML::Key << "block_size" << YAML::Value << metadata.block_size;
  out << YAML::Key << "vocab_size" << YAML::Value << metadata.vocab_size;
  out << YAML::Key << "tokenizer_fingerprint" << YAML::Value << YAML::DoubleQuoted << metadata.tokenizer_fingerprint;
  if (metadata.bpe_dropout > 0) {
    out << YAML::Key << "bpe_dropout" << YAML::Value << fmt::format("{}", metadata.bpe_dropout);
    out << YAML::Key << "seed" << YAML::Value << metadata.seed;
  }
  out << YAML::Key << "train_blocks" << YAML::Value << metadata.train_blocks;
  out << YAML::Key << "eval_blocks" << YAML::Value << metadata.eval_blocks;
  out << YAML::Key << "languages" << YAML::Value << YAML::BeginMap;
  for (const LanguageCounts& counts : metadata.languages) {
    out << YAML::Key << YAML::DoubleQuoted << counts.language << YAML::Value << YAML::BeginMap;
    out << YAML::Key << "documents" << YAML::Value << counts.documents;
    out << YAML::Key << "tokens" << YAML::Value << counts.tokens;
    out << YAML::Key << "bytes" << YAML::Value << counts.bytes;
    out << YAML::EndMap;
  }
  out << YAML::EndMap << YAML::EndMap;
  write_file(path, std::string(out.c_str()) + "\n");
}

MODERNGPT2_INLINE DatasetMetadata read_metadata(const std::filesystem::path& path) {
  const std::string text = read_file(path, std::uint64_t{1} << 26);
  const YAML::Node root = load_yaml(text, path.string());
  if (!root.IsMap()) throw Error("{}: not a map with the field 'train'", path.string());
  DatasetMetadata metadata;
  metadata.train_files = detail::yaml_files(root, "train", path);
  if (metadata.train_files.empty()) throw Error("{}: the field 'train' names no file", path.string());
  metadata.eval_files = detail::yaml_files(root, "eval", path);
  metadata.eval_size = detail::yaml_count(root, "eval_size", path, metadata.eval_size);
  const std::int64_t block_size = detail::yaml_count(root, "block_size", path, 0);
  if (block_size >= std::int64_t{1} << 31) throw Error("{}: the field 'block_size' is {}", path.string(), block_size);
  metadata.block_size = static_cast<int>(block_size);
  metadata.vocab_size = detail::yaml_count(root, "vocab_size", path, 0);
  metadata.train_blocks = detail::yaml_count(root, "train_blocks", path, 0);
  metadata.eval_blocks = detail::yaml_count(root, "eval_blocks", path, 0);
  metadata.tokenizer_fingerprint =
      detail::yaml_value<std::string>(root["tokenizer_fingerprint"], "tokenizer_fingerprint", path, "");
  metadata.bpe_dropout = detail::yaml_value<double>(root["bpe_dropout"], "bpe_dropout", path, 0.0);
  metadata.seed = detail::yaml_value<std::uint64_t>(root["seed"], "seed", path, 0);
  const YAML::Node languages = root["languages"];
  if (languages && languages.IsMap()) {
    for (const auto& entry : languages) {
      if (!entry.second.IsMap()) throw Error("{}: the field 'languages' is not a map of maps", path.string());
      LanguageCounts counts;
      counts.language = detail::yaml_value<std::string>(entry.first, "languages", path, "");
      counts.documents = detail::yaml_count(entry.second, "documents", path, 0);
      counts.tokens = detail::yaml_count(entry.second, "tokens", path, 0);
      counts.bytes = detail::yaml_count(entry.second, "bytes", path, 0);
      metadata.languages.push_back(std::move(counts));
    }
  }
  return metadata;
}

}  // namespace moderngpt2

#endif
