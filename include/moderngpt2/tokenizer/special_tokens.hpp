#pragma once

#include <array>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/printable.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/tokenizer/added_tokens.hpp"
#include "moderngpt2/tokenizer/tokenizer_file.hpp"

namespace moderngpt2::detail {

/// Roles and special tokens that tokenizer_config.json and special_tokens_map.json name, read as Transformers 4.46 and
/// 5.24 do: a key of special_tokens_map.json overrides that of tokenizer_config.json, unless tokenizer_config.json has
/// an added_tokens_decoder; special_tokens_map.json is then not read.
class SpecialTokens {
 public:
  /// Reads the files in `folder`. Both are optional.
  explicit SpecialTokens(const std::filesystem::path& folder);

  /// Id of a role, such as "eos_token"; nullopt if the role has no token. Throws Error if `file` does not have it.
  std::optional<int> id(const char* role, const TokenizerFile& file) const;

  /// Adds the tokens that are in the vocabulary of `file`, but not among its added tokens, to the latter. Tokens
  /// outside the vocabulary are ignored: Transformers would give them ids that the model does not have.
  void add_to(TokenizerFile& file) const;

 private:
  struct Value {
    Json json;
    std::string where;
  };

  void read(const std::filesystem::path& path);
  static AddedToken token_of(const Json& json, std::string_view field, const std::string& where);

  std::map<std::string, Value> values_;  // roles and lists of tokens
  std::vector<AddedToken> decoder_;      // added_tokens_decoder
  bool has_decoder_ = false;
};

}  // namespace moderngpt2::detail

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

MODERNGPT2_INLINE SpecialTokens::SpecialTokens(const std::filesystem::path& folder) {
  read(folder / "tokenizer_config.json");
  if (!has_decoder_) read(folder / "special_tokens_map.json");
}

MODERNGPT2_INLINE void SpecialTokens::read(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) return;
  const Json json = read_json_file(path);
  const std::string where = path.string();
  static constexpr std::array keys{"bos_token",           "eos_token", "unk_token",  "sep_token",
                                   "pad_token",           "cls_token", "mask_token", "additional_special_tokens",
                                   "extra_special_tokens"};
  for (const char* key : keys)
    if (const Json* value = find_field(json, key, where)) values_[key] = {*value, where};
  if (path.filename() != "tokenizer_config.json") return;
  const Json* decoder = find_field(json, "added_tokens_decoder", where);
  has_decoder_ = decoder && !decoder->is_null();
  if (!has_decoder_) return;
  if (!decoder->is_object()) throw Error("{}: added_tokens_decoder must be an object", where);
  for (const auto& [id, value] : decoder->items())
    decoder_.push_back(token_of(value, "an entry of added_tokens_decoder", where));
}

/// A token is a string, which is special, or an object with its flags.
MODERNGPT2_INLINE AddedToken SpecialTokens::token_of(const Json& json, std::string_view field,
                                                     const std::string& where) {
  AddedToken token;
  token.special = true;
  if (!json.is_object()) {
    token.content = json_as<std::string>(json, field, where);
    return token;
  }
  const std::string here = fmt::format("{}: {}", where, field);
  token.content = get_field<std::string>(json, "content", here);
  token.single_word = get_field_or<bool>(json, "single_word", false, here);
  token.lstrip = get_field_or<bool>(json, "lstrip", false, here);
  token.rstrip = get_field_or<bool>(json, "rstrip", false, here);
  token.special = get_field_or<bool>(json, "special", true, here);
  token.normalized = get_field_or<bool>(json, "normalized", !token.special, here);
  return token;
}

MODERNGPT2_INLINE std::optional<int> SpecialTokens::id(const char* role, const TokenizerFile& file) const {
  const auto value = values_.find(role);
  if (value == values_.end() || value->second.json.is_null()) return std::nullopt;
  const std::string token = token_of(value->second.json, role, value->second.where).content;
  const auto found = file.ids.find(token);
  if (found == file.ids.end())
    throw Error("{}: {} is {}, which tokenizer.json does not have", value->second.where, role, excerpt(token, 40));
  return found->second;
}

MODERNGPT2_INLINE void SpecialTokens::add_to(TokenizerFile& file) const {
  std::unordered_set<std::string> known;
  for (const AddedToken& token : file.added_tokens) known.insert(token.content);
  const auto add = [&](AddedToken token) {
    const auto found = file.ids.find(token.content);
    if (found == file.ids.end() || !known.insert(token.content).second) return;
    token.id = found->second;
    file.added_tokens.push_back(std::move(token));
  };
  for (const AddedToken& token : decoder_) add(token);
  for (const auto& [key, value] : values_) {
    // Lists, also an object of named tokens: {"image_token": "<image>"}.
    const bool list = key.ends_with("special_tokens");
    const Json& json = value.json;
    if (json.is_null()) continue;
    if (!list)
      add(token_of(json, key, value.where));
    else if (json.is_array() || json.is_object())
      for (const auto& [name, token] : json.items()) add(token_of(token, key, value.where));
    else
      throw Error("{}: {} must be a list of tokens, found {}", value.where, key, json_excerpt(json));
  }
}

}  // namespace moderngpt2::detail

#endif
