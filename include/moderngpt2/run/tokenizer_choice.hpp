#pragma once

#include <exception>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/tokenizer/chat_template.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"

namespace moderngpt2 {

/// Help text of --tokenizer_path.
inline constexpr const char* tokenizer_path_help =
    "Tokenizer: a folder, tokenizer.json, tokenizer.model, vocab.json (with merges.txt beside it), vocab.txt, a "
    ".tiktoken file or tekken.json. Names on the Hugging Face Hub are not downloaded.";
inline constexpr const char* tokenizer_pattern_help =
    "Pattern that splits text into words, for a .tiktoken file: gpt2, r50k, p50k, cl100k, o200k, llama3, llama4, "
    "qwen, kimi, or a regular expression. Default: by the file's name or number of tokens.";
inline constexpr const char* eos_token_help = "Token that ends each document, if the tokenizer names none.";
inline constexpr const char* eos_token_id_help = "Id of the token that ends each document; see --eos_token.";

/// Settings of a tokenizer that its files may lack.
struct TokenizerChoice {
  std::optional<std::string> pattern{};    ///< splitting pattern of a rank file: a name or a regular expression
  std::optional<std::string> eos_token{};  ///< token that ends a document
  std::optional<int> eos_token_id{};       ///< id of eos_token
  std::optional<int> pad_token_id{};       ///< id of the token that pads a batch
};

/// Vocabulary of a run: number of ids, and the special tokens that config.json names.
struct Vocabulary {
  int size = 0;  ///< highest id + 1; 0: unknown
  std::optional<int> eos_id{}, pad_id{};
  bool has_tokenizer = true;  ///< false: ids that are not set are those of config.json
};

/// Loads a tokenizer; see Tokenizer::load().
Tokenizer open_tokenizer(const std::filesystem::path& path, const TokenizerChoice& choice);

/// Id of the token that ends documents: eos_token or eos_token_id, otherwise the tokenizer's eos token. Throws Error
/// for a token that the tokenizer does not have.
std::optional<int> eos_of(const Tokenizer& tokenizer, const TokenizerChoice& choice);

/// Vocabulary of a tokenizer with the special tokens of `choice`.
Vocabulary vocabulary_of(const Tokenizer& tokenizer, const TokenizerChoice& choice);

/// Vocabulary of a tokenizer that cannot be loaded, or of none (an empty path). Special tokens are those of `choice`,
/// otherwise those that the files beside the tokenizer name, if its list of added tokens has them. Throws Error if
/// `choice` names a token that is not found.
Vocabulary vocabulary_of_files(const std::filesystem::path& path, const TokenizerChoice& choice);

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2 {

MODERNGPT2_INLINE Tokenizer open_tokenizer(const std::filesystem::path& path, const TokenizerChoice& choice) {
  if (choice.eos_token && choice.eos_token_id)
    throw UsageError("{} and {} do not go together", Setting{"eos_token"}, Setting{"eos_token_id"});
  return Tokenizer::load(path, {.pattern = choice.pattern.value_or("")});
}

namespace detail {

/// Returns the id of a setting. Throws Error if it is negative or outside a vocabulary of `size` ids (0: unknown size).
inline std::optional<int> checked_id(const char* setting, std::optional<int> id, int size) {
  if (id && (*id < 0 || (size > 0 && *id >= size)))
    throw Error("{}: the id {} is outside the vocabulary of {} tokens", Setting{setting}, *id, size);
  return id;
}

/// Id of a token in the list `added_tokens` of a tokenizer.json. Reads no other part of the file, which may have
/// components that are not supported. nullopt if the file or the token is missing.
inline std::optional<int> added_token_id(const std::filesystem::path& path, std::string_view token) {
  const std::filesystem::path file = std::filesystem::is_directory(path) ? path / "tokenizer.json" : path;
  if (file.extension() != ".json" || !std::filesystem::exists(file)) return std::nullopt;
  try {
    const Json json = read_json_file(file);
    for (const Json& added : json.at("added_tokens"))
      if (added.at("content") == token) return added.at("id").get<int>();
  } catch (const std::exception&) {  // the file is damaged: a note reports that
  }
  return std::nullopt;
}

/// Token of a role, such as eos_token, in the files beside a tokenizer; empty if they do not name one.
inline std::string named_token(const std::filesystem::path& path, const char* role) {
  try {
    const Json names = special_token_names(tokenizer_home(path));
    const auto found = names.find(role);
    if (found != names.end() && found->is_string()) return found->get<std::string>();
  } catch (const std::exception&) {
  }
  return "";
}

}  // namespace detail

MODERNGPT2_INLINE std::optional<int> eos_of(const Tokenizer& tokenizer, const TokenizerChoice& choice) {
  if (choice.eos_token_id) return detail::checked_id("eos_token_id", choice.eos_token_id, tokenizer.vocab_size());
  if (!choice.eos_token) return tokenizer.eos_id();
  const std::optional<int> id = tokenizer.id(*choice.eos_token);
  if (!id) throw Error("{}: the tokenizer has no token {}", Setting{"eos_token"}, excerpt(*choice.eos_token, 40));
  return id;
}

MODERNGPT2_INLINE Vocabulary vocabulary_of(const Tokenizer& tokenizer, const TokenizerChoice& choice) {
  const int size = tokenizer.vocab_size();
  const std::optional<int> pad = detail::checked_id("pad_token_id", choice.pad_token_id, size);
  return {size, eos_of(tokenizer, choice), pad ? pad : tokenizer.pad_id()};
}

MODERNGPT2_INLINE Vocabulary vocabulary_of_files(const std::filesystem::path& path, const TokenizerChoice& choice) {
  Vocabulary vocabulary{.has_tokenizer = false};
  vocabulary.eos_id = detail::checked_id("eos_token_id", choice.eos_token_id, 0);
  vocabulary.pad_id = detail::checked_id("pad_token_id", choice.pad_token_id, 0);
  const auto find = [&](const std::string& token) {
    return path.empty() || token.empty() ? std::nullopt : detail::added_token_id(path, token);
  };
  if (choice.eos_token && !vocabulary.eos_id) {
    vocabulary.eos_id = find(*choice.eos_token);
    if (!vocabulary.eos_id)
      throw Error("{}: the token {} has no known id without a tokenizer: give {}", Setting{"eos_token"},
                  excerpt(*choice.eos_token, 40), Setting{"eos_token_id"});
  }
  if (path.empty()) return vocabulary;
  if (!vocabulary.eos_id) vocabulary.eos_id = find(detail::named_token(path, "eos_token"));
  if (!vocabulary.pad_id) vocabulary.pad_id = find(detail::named_token(path, "pad_token"));
  return vocabulary;
}

}  // namespace moderngpt2

#endif
