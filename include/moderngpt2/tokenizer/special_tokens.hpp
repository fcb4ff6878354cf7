#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
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
#include "moderngpt2/io/gguf/reader.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/tokenizer/added_tokens.hpp"
#include "moderngpt2/tokenizer/formats/gguf.hpp"
#include "moderngpt2/tokenizer/tokenizer_file.hpp"

namespace moderngpt2::detail {

/// Roles and special tokens that tokenizer_config.json and special_tokens_map.json name, read as Transformers 4.46 and
/// 5.24 do: a key of special_tokens_map.json overrides that of tokenizer_config.json, unless tokenizer_config.json has
/// an added_tokens_decoder; special_tokens_map.json is then not read.
class SpecialTokens {
 public:
  /// Reads the files in `folder`. Both are optional. A GGUF file in place of the folder has its own
  /// tokenizer_config.json.
  explicit SpecialTokens(const std::filesystem::path& folder);

  /// Id of a role, such as "eos_token"; nullopt if the role has no token. If `file` does not have the token: throws
  /// Error for eos, which training needs, and adds a note for others.
  std::optional<int> id(const char* role, TokenizerFile& file) const;

  /// Whether a file names the role, also as null.
  bool has_role(const std::string& role) const { return values_.contains(role); }

  /// Token of each role that has one, for chat templates: {"bos_token": "<s>", ...}.
  Json names() const;

  /// Adds the tokens that are in the vocabulary of `file`, but not among its added tokens, to the latter. Tokens
  /// outside the vocabulary are ignored: Transformers would give them ids that the model does not have.
  void add_to(TokenizerFile& file) const;

  /// Adds the tokens of added_tokens_decoder, else of added_tokens.json, that the vocabulary does not have, with the
  /// ids that these files give them. For formats whose own files have no added tokens.
  void extend(TokenizerFile& file) const;

 private:
  struct Value {
    Json json;
    std::string where;
  };

  void read(const std::filesystem::path& path);
  void read(const Json& json, const std::string& where, bool is_config);
  static AddedToken token_of(const Json& json, std::string_view field, const std::string& where);

  std::map<std::string, Value> values_;  // roles and lists of tokens
  std::vector<AddedToken> decoder_;      // added_tokens_decoder
  std::filesystem::path folder_;
  bool has_decoder_ = false;
};

}  // namespace moderngpt2::detail

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

MODERNGPT2_INLINE SpecialTokens::SpecialTokens(const std::filesystem::path& folder) : folder_(folder) {
  if (is_gguf(folder)) {
    const GgufFile file(folder);
    read(GgufTokenizer(file.metadata()).config(), folder.string(), true);
    return;
  }
  read(folder / "tokenizer_config.json");
  if (!has_decoder_) read(folder / "special_tokens_map.json");
}

MODERNGPT2_INLINE void SpecialTokens::read(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) return;
  read(read_json_file(path), path.string(), path.filename() == "tokenizer_config.json");
}

MODERNGPT2_INLINE void SpecialTokens::read(const Json& json, const std::string& where, bool is_config) {
  static constexpr std::array keys{"bos_token",           "eos_token", "unk_token",  "sep_token",
                                   "pad_token",           "cls_token", "mask_token", "additional_special_tokens",
                                   "extra_special_tokens"};
  for (const char* key : keys)
    if (const Json* value = find_field(json, key, where)) values_[key] = {*value, where};
  if (!is_config) return;
  const Json* decoder = find_field(json, "added_tokens_decoder", where);
  has_decoder_ = decoder && !decoder->is_null();
  if (!has_decoder_) return;
  if (!decoder->is_object()) throw Error("{}: added_tokens_decoder must be an object", where);
  for (const auto& [id, value] : decoder->items()) {
    AddedToken token = token_of(value, "an entry of added_tokens_decoder", where);
    const auto [end, error] = std::from_chars(id.data(), id.data() + id.size(), token.id);
    if (error != std::errc() || end != id.data() + id.size() || token.id < 0)
      throw Error("{}: added_tokens_decoder has the key {}, which is not an id", where, excerpt(id, 40));
    decoder_.push_back(std::move(token));
  }
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

MODERNGPT2_INLINE std::optional<int> SpecialTokens::id(const char* role, TokenizerFile& file) const {
  const auto value = values_.find(role);
  if (value == values_.end() || value->second.json.is_null()) return std::nullopt;
  const std::string token = token_of(value->second.json, role, value->second.where).content;
  const int id = file.id(token);
  if (id >= 0) return id;
  const std::string text = fmt::format("{}: {} is {}, which {} does not have", value->second.where, role,
                                       excerpt(token, 40), std::filesystem::path(file.where).filename().string());
  if (std::string_view(role) == "eos_token") throw Error("{}", text);
  file.notes.push_back(text + ": the tokenizer has no such token");
  return std::nullopt;
}

MODERNGPT2_INLINE Json SpecialTokens::names() const {
  Json names = Json::object();
  for (const auto& [key, value] : values_)
    if (!value.json.is_null() && !key.ends_with("special_tokens"))
      names[key] = token_of(value.json, key, value.where).content;
  return names;
}

MODERNGPT2_INLINE void SpecialTokens::extend(TokenizerFile& file) const {
  std::vector<AddedToken> list = decoder_;
  const std::filesystem::path path = folder_ / "added_tokens.json";
  if (!has_decoder_ && std::filesystem::exists(path)) {
    const Json json = read_json_file(path);
    if (!json.is_object()) throw Error("{}: must be an object, found {}", path.string(), json_excerpt(json));
    for (const auto& [content, id] : json.items()) {
      AddedToken token;
      token.content = content;
      token.id = json_as<int>(id, "the id of " + excerpt(content, 40), path.string());
      token.normalized = true;
      list.push_back(std::move(token));
    }
  }
  constexpr int most_holes = 1 << 20;
  std::map<int, AddedToken> by_id;
  std::map<std::string, int> ids;
  for (AddedToken& token : file.added_tokens) {
    ids[token.content] = token.id;
    by_id[token.id] = std::move(token);
  }
  const int size = std::max(file.model.size(), by_id.empty() ? 0 : by_id.rbegin()->first + 1);
  const int end = size + static_cast<int>(std::min<std::size_t>(list.size(), most_holes)) + most_holes;
  for (AddedToken& token : list) {
    if (token.content.empty() || file.model.ids.contains(token.content)) continue;
    const auto at = static_cast<std::size_t>(token.id);
    if (token.id < 0 || token.id >= end || (at < file.model.exists.size() && file.model.exists[at]))
      throw Error("{}: {} cannot have the id {}", folder_.string(), excerpt(token.content, 40), token.id);
    if (const auto known = ids.find(token.content); known != ids.end()) by_id.erase(known->second);
    if (const auto known = by_id.find(token.id); known != by_id.end()) ids.erase(known->second.content);
    ids[token.content] = token.id;
    by_id[token.id] = std::move(token);
  }
  file.added_tokens.clear();
  for (auto& [id, token] : by_id) file.added_tokens.push_back(std::move(token));
}

MODERNGPT2_INLINE void SpecialTokens::add_to(TokenizerFile& file) const {
  std::unordered_set<std::string> known;
  for (const AddedToken& token : file.added_tokens) known.insert(token.content);
  const auto add = [&](AddedToken token) {
    const auto found = file.model.ids.find(token.content);
    if (found == file.model.ids.end() || !known.insert(token.content).second) return;
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
