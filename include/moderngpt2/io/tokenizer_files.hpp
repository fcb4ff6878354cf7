#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/io/file_hash.hpp"
#include "moderngpt2/io/folder.hpp"
#include "moderngpt2/io/gguf/reader.hpp"

namespace moderngpt2 {

namespace detail {

/// Reader of the tokenizer in a GGUF file: names and contents of the files that a model folder has in its place. Set by
/// tokenizer/formats/gguf.hpp.
using GgufTokenizerReader = std::vector<std::pair<std::string, std::string>> (*)(const std::filesystem::path& path);
inline std::atomic<GgufTokenizerReader> gguf_tokenizer_reader{nullptr};

}  // namespace detail

/// Content of a tokenizer's files, to copy into model folders byte for byte. A plain value: no thread rules.
struct TokenizerFiles {
  /// Names of the files from which Tokenizer::load() reads a tokenizer. In a folder, the first one that exists is
  /// taken.
  static constexpr std::array<const char*, 6> vocabularies{"tokenizer.json", "tokenizer.model", "tekken.json",
                                                           "*.tiktoken",     "vocab.json",      "vocab.txt"};
  /// Names of the files beside them: merges, special tokens, chat templates, and vocabularies of older formats.
  static constexpr std::array<const char*, 10> companions{
      "merges.txt",          "tokenizer_config.json",  "special_tokens_map.json", "added_tokens.json",
      "chat_template.jinja", "chat_template.json",     "normalizer.json",         "special_tokens.json",
      "spiece.model",        "sentencepiece.bpe.model"};
  std::vector<std::pair<std::string, std::string>> files;  ///< name and content

  /// Whether a file has the name of tiktoken's ranks.
  static bool has_ranks(const std::filesystem::path& file) {
    return file.extension() == ".tiktoken" || file.filename() == "tiktoken.model";
  }
  /// Index in `vocabularies` of a file by its name; their number if it is none of them.
  static std::size_t place_of(const std::string& name);

  /// Whether a folder contains one of `vocabularies`, or a GGUF file has a tokenizer.
  static bool is_in(const std::filesystem::path& folder_or_file);

  /// Reads all tokenizer files of a folder; or one file, the companions in its folder, and those vocabularies that it
  /// precedes. `own_name`: name of the file in a model folder, such as tokenizer.json; default: by its own name. The
  /// tokenizer of a GGUF file becomes a tokenizer.json with its tokenizer_config.json.
  static TokenizerFiles read(const std::filesystem::path& folder_or_file, std::string own_name = "");

  /// XXH3 (64 bits) of the bytes of the tokenizer's own files, as Tokenizer::fingerprint(); 0 without one.
  std::uint64_t fingerprint() const;

  std::vector<FileRecord> write(const std::filesystem::path& folder) const {
    std::vector<FileRecord> written;
    for (const auto& [name, content] : files) written.push_back(write_file(folder / name, content));
    return written;
  }

 private:
  static std::string name_of_format(const std::filesystem::path& file);
};

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2 {

MODERNGPT2_INLINE bool TokenizerFiles::is_in(const std::filesystem::path& folder) {
  if (is_gguf(folder)) {
    const auto model = GgufFile(folder).metadata().get<std::string>("tokenizer.ggml.model").value_or("none");
    return model != "none" && model != "no_vocab";
  }
  if (!std::filesystem::is_directory(folder)) return false;
  for (const char* name : vocabularies)
    if (std::filesystem::exists(folder / name)) return true;
  const auto entries = folder_entries(folder);
  return std::any_of(entries.begin(), entries.end(), has_ranks);
}

MODERNGPT2_INLINE std::size_t TokenizerFiles::place_of(const std::string& name) {
  for (std::size_t i = 0; i < vocabularies.size(); ++i)
    if (name == vocabularies[i] || (i == 3 && has_ranks(name))) return i;
  return vocabularies.size();
}

MODERNGPT2_INLINE std::string TokenizerFiles::name_of_format(const std::filesystem::path& file) {
  const std::string name = file.filename().string(), extension = file.extension().string();
  if (name == "merges.txt") return "vocab.json";
  if (place_of(name) < vocabularies.size()) return name;
  if (name.find("tekken") != name.npos) return "tekken.json";
  if (extension == ".txt") return "vocab.txt";
  return name.find(".model") != name.npos ? "tokenizer.model" : "tokenizer.json";
}

MODERNGPT2_INLINE TokenizerFiles TokenizerFiles::read(const std::filesystem::path& folder_or_file,
                                                      std::string own_name) {
  if (is_gguf(folder_or_file)) {
    const detail::GgufTokenizerReader reader = detail::gguf_tokenizer_reader.load();
    if (!reader)
      throw Error("{}: this program does not include moderngpt2/tokenizer/formats/gguf.hpp, which reads its tokenizer",
                  folder_or_file.string());
    return {reader(folder_or_file)};
  }
  const bool is_folder = std::filesystem::is_directory(folder_or_file);
  const std::filesystem::path home = is_folder ? folder_or_file : folder_or_file.parent_path();
  TokenizerFiles result;
  const auto add = [&](const std::string& name, const std::filesystem::path& path) {
    const auto is_known = [&](const auto& file) { return file.first == name; };
    if (std::filesystem::exists(path) && std::none_of(result.files.begin(), result.files.end(), is_known))
      result.files.emplace_back(name, read_file(path));
  };
  std::size_t place = 0;
  if (!is_folder) {
    if (own_name.empty()) own_name = name_of_format(folder_or_file);
    add(own_name, folder_or_file.filename() == "merges.txt" ? home / "vocab.json" : folder_or_file);
    place = place_of(own_name) + 1;
  }
  for (; place < vocabularies.size(); ++place) {
    const std::string name = vocabularies[place];
    if (name != "*.tiktoken") {
      add(name, home / name);
      continue;
    }
    std::vector<std::filesystem::path> ranks;
    for (const std::filesystem::path& path : folder_entries(home.empty() ? "." : home))
      if (has_ranks(path)) ranks.push_back(path);
    std::sort(ranks.begin(), ranks.end());
    for (const std::filesystem::path& path : ranks) add(path.filename().string(), path);
  }
  for (const std::string name : companions) add(name, home / name);
  return result;
}

MODERNGPT2_INLINE std::uint64_t TokenizerFiles::fingerprint() const {
  FileHash hash;
  if (files.empty() || place_of(files[0].first) == vocabularies.size()) return 0;
  hash.add(std::as_bytes(std::span(files[0].second)));
  if (files[0].first == "vocab.json")
    for (const auto& [name, content] : files)
      if (name == "merges.txt") hash.add(std::as_bytes(std::span(content)));
  return hash.value();
}

}  // namespace moderngpt2

#endif
