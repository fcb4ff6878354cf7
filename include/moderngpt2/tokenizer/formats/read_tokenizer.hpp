#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/io/file_hash.hpp"
#include "moderngpt2/io/folder.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/io/tokenizer_files.hpp"
#include "moderngpt2/tokenizer/formats/gguf.hpp"
#include "moderngpt2/tokenizer/formats/loaded_tokenizer.hpp"
#include "moderngpt2/tokenizer/formats/tekken.hpp"
#include "moderngpt2/tokenizer/formats/tiktoken.hpp"
#include "moderngpt2/tokenizer/formats/vocabulary_files.hpp"

namespace moderngpt2::detail {

/// Reader of a SentencePiece model, for programs that have its library. Set by tokenizer/formats/sentencepiece.hpp.
using SentencePieceReader = LoadedTokenizer (*)(std::string_view bytes, const std::string& where);
inline std::atomic<SentencePieceReader> sentencepiece_reader{nullptr};

/// Finds and reads a tokenizer; see Tokenizer::load().
class TokenizerFinder {
 public:
  TokenizerFinder(const std::filesystem::path& path, const TokenizerOptions& options);

  LoadedTokenizer read();

 private:
  static constexpr auto names = TokenizerFiles::vocabularies;
  static constexpr std::uint64_t largest_file = 500'000'000;

  std::filesystem::path find_in_folder() const;
  [[noreturn]] void fail_without_path() const;

  LoadedTokenizer read_gguf();
  void read_json(const std::string& bytes);
  void read_model(const std::string& bytes);
  void add_file(const std::filesystem::path& path, std::string name, const std::string& bytes);

  std::filesystem::path path_, file_;
  const TokenizerOptions& options_;
  FileHash hash_;
  LoadedTokenizer result_;
};

LoadedTokenizer read_tokenizer(const std::filesystem::path& path, const TokenizerOptions& options);

}  // namespace moderngpt2::detail

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

MODERNGPT2_INLINE LoadedTokenizer read_tokenizer(const std::filesystem::path& path, const TokenizerOptions& options) {
  return TokenizerFinder(path, options).read();
}

MODERNGPT2_INLINE TokenizerFinder::TokenizerFinder(const std::filesystem::path& path, const TokenizerOptions& options)
    : path_(path), options_(options) {}

MODERNGPT2_INLINE void TokenizerFinder::fail_without_path() const {
  const std::string text = path_.string();
  const std::size_t slashes = static_cast<std::size_t>(std::count(text.begin(), text.end(), '/'));
  const bool is_name = !text.empty() && slashes <= 1 && !text.starts_with('.') && !text.starts_with('/') &&
                       !text.ends_with('/') && path_.extension() != ".json" && path_.extension() != ".model" &&
                       path_.extension() != ".txt" && path_.extension() != ".tiktoken";
  if (is_name)
    throw Error(
        "{}: no such file or folder. Names on the Hugging Face Hub are not downloaded: run `hf download {}` and give "
        "the folder of the tokenizer's files.",
        text, text);
  throw Error("{}: no such file or folder", text);
}

MODERNGPT2_INLINE std::filesystem::path TokenizerFinder::find_in_folder() const {
  std::string looked_for;
  for (const std::string name : names) {
    looked_for += (looked_for.empty() ? "" : ", ") + name;
    if (name == "*.tiktoken") {
      std::vector<std::filesystem::path> ranks;
      for (const std::filesystem::path& entry : folder_entries(path_))
        if (TokenizerFiles::has_ranks(entry)) ranks.push_back(entry);
      if (ranks.size() > 1) throw Error("{}: has {} tiktoken files. Name one of them.", path_.string(), ranks.size());
      if (!ranks.empty()) return ranks[0];
    } else if (std::filesystem::exists(path_ / name)) {
      return path_ / name;
    }
  }
  throw Error("{}: no tokenizer in this folder. Looked for {}.", path_.string(), looked_for);
}

MODERNGPT2_INLINE LoadedTokenizer TokenizerFinder::read() {
  std::error_code error;
  const bool is_folder = std::filesystem::is_directory(path_, error);
  if (!is_folder && !std::filesystem::exists(path_, error)) fail_without_path();
  if (is_gguf(path_)) return read_gguf();
  file_ = is_folder ? find_in_folder() : path_;
  if (file_.filename() == "merges.txt") file_.replace_filename("vocab.json");
  result_.folder = file_.parent_path();
  const std::string where = file_.string();
  const std::string bytes = read_file(file_, largest_file);
  const std::string_view start = std::string_view(bytes).substr(0, 1000);
  const std::size_t first = start.find_first_not_of(" \t\r\n");
  if (file_.extension() == ".json" || (file_.extension() != ".txt" && first != start.npos && start[first] == '{')) {
    read_json(bytes);
  } else if (file_.extension() == ".txt") {
    result_.file = read_vocab_txt(bytes, VocabularyConfig::read(result_.folder), where);
    add_file(file_, "vocab.txt", bytes);
  } else {
    read_model(bytes);
  }
  const auto add_other = [&](const std::string& name) {
    const auto is_known = [&](const TokenizerPath& file) { return file.name == name; };
    const std::filesystem::path path = result_.folder / name;
    if (std::none_of(result_.files.begin(), result_.files.end(), is_known) && std::filesystem::exists(path))
      result_.files.push_back({path, name});
  };
  // Other forms of the tokenizer are copied too, unless the copy would be loaded from them.
  for (std::size_t i = TokenizerFiles::place_of(result_.files[0].name) + 1; i < names.size(); ++i) add_other(names[i]);
  for (const char* companion : TokenizerFiles::companions) add_other(companion);
  result_.fingerprint = hash_.value();
  return std::move(result_);
}

MODERNGPT2_INLINE LoadedTokenizer TokenizerFinder::read_gguf() {
  const auto files = gguf_tokenizer_files(path_);
  const std::string where = path_.string();
  result_.file = read_tokenizer_json(parse_json(files.at(0).second, where), where);
  result_.folder = path_;
  for (const auto& [name, content] : files) result_.files.push_back({path_, name});
  hash_.add(std::as_bytes(std::span(files.at(0).second)));
  result_.fingerprint = hash_.value();
  return std::move(result_);
}

MODERNGPT2_INLINE void TokenizerFinder::add_file(const std::filesystem::path& path, std::string name,
                                                 const std::string& bytes) {
  result_.files.push_back({path, std::move(name)});
  hash_.add(std::as_bytes(std::span(bytes)));
}

/// Whether the JSON is a vocab.json: ids by token. Tokens may be called as the fields of other formats are.
inline bool is_vocabulary(const Json& json) {
  return json.is_object() && !json.empty() && json.begin()->is_number() &&
         std::all_of(json.begin(), json.end(), [](const Json& value) { return value.is_primitive(); });
}

MODERNGPT2_INLINE void TokenizerFinder::read_json(const std::string& bytes) {
  const std::string where = file_.string();
  const Json json = parse_json(bytes, where);
  if (is_tekken(json)) {
    result_.file = read_tekken(json, where);
    add_file(file_, "tekken.json", bytes);
  } else if (is_vocabulary(json)) {
    const std::filesystem::path merges = result_.folder / "merges.txt";
    if (!std::filesystem::exists(merges))
      throw Error("{}: the vocabulary needs its merges, but {} does not exist", where, merges.string());
    const std::string lines = read_file(merges, largest_file);
    if (valid_utf8_prefix(lines) != lines.size())
      throw Error("{}: byte {} is not UTF-8", merges.string(), valid_utf8_prefix(lines));
    result_.file = read_vocab_and_merges(json, lines, VocabularyConfig::read(result_.folder), where);
    add_file(file_, "vocab.json", bytes);
    add_file(merges, "merges.txt", lines);
  } else {
    result_.file = read_tokenizer_json(json, where);
    add_file(file_, "tokenizer.json", bytes);
  }
}

MODERNGPT2_INLINE void TokenizerFinder::read_model(const std::string& bytes) {
  const std::string where = file_.string();
  if (is_tiktoken(bytes)) {
    const std::string name = file_.filename().string();
    result_.file = read_tiktoken(bytes, options_.pattern, name, where);
    add_file(file_, TokenizerFiles::has_ranks(file_) ? name : "tokenizer.model", bytes);
    return;
  }
  const SentencePieceReader reader = sentencepiece_reader.load();
  if (!reader)
    throw Error(
        "{}: a SentencePiece model, and this program is built without the SentencePiece library. Convert it with "
        "convert_tokenizer ({} {} {} FOLDER) and give FOLDER.",
        where, Setting{"spm_model"}, where, Setting{"output_dir"});
  const std::filesystem::path folder = result_.folder;
  result_ = reader(bytes, where);
  result_.folder = folder;
  add_file(file_, "tokenizer.model", bytes);
}

}  // namespace moderngpt2::detail

#endif
