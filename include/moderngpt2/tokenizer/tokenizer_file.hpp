#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/tokenizer/added_tokens.hpp"
#include "moderngpt2/tokenizer/component.hpp"
#include "moderngpt2/tokenizer/model_file.hpp"
#include "moderngpt2/tokenizer/model_reader.hpp"
#include "moderngpt2/tokenizer/post_processors.hpp"

namespace moderngpt2::detail {

/// Content of a tokenizer file of any format. The components are those of a tokenizer.json; null: none.
struct TokenizerFile {
  ModelFile model;
  std::vector<AddedToken> added_tokens;  ///< each content once, with its id
  Json normalizer, pre_tokenizer, decoder;
  std::string tiktoken_pattern;    ///< splits the text in place of pre-tokenizers; the model works on bytes
  AddedIds added_ids;              ///< ids of the post-processor
  std::vector<std::string> notes;  ///< settings without effect, a line each
  std::string where;               ///< begins errors

  int size() const;  ///< highest id + 1, added tokens included

  /// Id of a token of the model or an added token; -1 if it does not exist.
  int id(const std::string& token) const;

  /// Adds tokens in order, with the ids that Hugging Face `tokenizers` gives them whatever the file says: that of the
  /// model's token with the content, else the next one after the number of the model's tokens.
  void add(std::vector<AddedToken> list);
};

/// Reads a tokenizer.json. Throws an Error that names file and component for anything that would give ids other than
/// those of `tokenizers`.
TokenizerFile read_tokenizer_json(const Json& json, const std::string& where);

}  // namespace moderngpt2::detail

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

MODERNGPT2_INLINE int TokenizerFile::size() const {
  int size = model.size();
  for (const AddedToken& token : added_tokens) size = std::max(size, token.id + 1);
  return size;
}

MODERNGPT2_INLINE int TokenizerFile::id(const std::string& token) const {
  for (const AddedToken& added : added_tokens)
    if (added.content == token) return added.id;
  const auto found = model.ids.find(token);
  return found == model.ids.end() ? -1 : found->second;
}

MODERNGPT2_INLINE void TokenizerFile::add(std::vector<AddedToken> list) {
  std::unordered_map<std::string, std::size_t> known;  // content, index in added_tokens
  for (std::size_t i = 0; i < added_tokens.size(); ++i) known.emplace(added_tokens[i].content, i);
  int next = static_cast<int>(model.count);
  for (const AddedToken& token : added_tokens) next = std::max(next, token.id + 1);
  std::size_t moved = 0;
  std::string example;
  for (AddedToken& token : list) {
    if (token.content.empty()) continue;
    int id = -1;
    const auto [at, added] = known.emplace(token.content, added_tokens.size());
    if (!added) {
      id = added_tokens[at->second].id;
    } else if (const auto found = model.ids.find(token.content); found != model.ids.end()) {
      id = found->second;
    } else {
      id = next++;
    }
    if (token.id >= 0 && token.id != id && moved++ == 0)
      example = fmt::format("{} has the id {} in the file, and gets {}", excerpt(token.content, 40), token.id, id);
    token.id = id;
    if (added) {
      added_tokens.push_back(std::move(token));
    } else {
      token.special |= added_tokens[at->second].special;
      added_tokens[at->second] = std::move(token);
    }
  }
  if (moved > 0)
    notes.push_back(
        fmt::format("{}: {} of added_tokens have other ids than in the file, as in Hugging Face `tokenizers`: {}",
                    where, moved, example));
}

/// Reads an entry of added_tokens.
MODERNGPT2_INLINE AddedToken read_added_token(const Component& entry) {
  entry.expect({"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"});
  AddedToken token;
  token.id = entry.get<int>("id");
  token.content = entry.get<std::string>("content");
  token.single_word = entry.get<bool>("single_word");
  token.lstrip = entry.get<bool>("lstrip");
  token.rstrip = entry.get<bool>("rstrip");
  token.normalized = entry.get<bool>("normalized");
  token.special = entry.get<bool>("special");
  if (token.id < 0) entry.fail("the id {} is negative", token.id);
  return token;
}

MODERNGPT2_INLINE TokenizerFile read_tokenizer_json(const Json& json, const std::string& where) {
  TokenizerFile file;
  file.where = where;
  const Component all(json, where);
  all.expect({"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor",
              "decoder", "model"});
  if (const auto version = all.get_or<std::string>("version", "1.0"); version != "1.0")
    all.fail("version is {}; only \"1.0\" is supported", excerpt(version, 40));
  // truncation and padding are settings of the program that saved the file; AutoTokenizer ignores them too.
  for (const char* key : {"truncation", "padding"}) {
    const Json* value = find_field(json, key, where);
    if (!value || value->is_null()) continue;
    if (!value->is_object()) all.fail("{} must be null or an object, found {}", key, json_excerpt(*value));
    file.notes.push_back(fmt::format("{}: {} is set aside: documents are neither truncated nor padded", where, key));
  }
  const Json none;
  const auto part = [&](const char* key) {
    const Json* value = find_field(json, key, where);
    return Component(value ? *value : none, fmt::format("{}: {}", where, key));
  };
  file.model = read_model(Component(all.field("model"), where + ": model"), file.notes);
  const Component added = part("added_tokens");
  std::vector<AddedToken> list;
  if (!added.json().is_null()) {
    if (!added.json().is_array()) added.fail("must be a list, found {}", json_excerpt(added.json()));
    for (const Json& entry : added.json())
      list.push_back(read_added_token(Component(entry, fmt::format("{}: entry {}", added.where(), list.size()))));
  }
  file.add(std::move(list));
  file.normalizer = part("normalizer").json();
  file.pre_tokenizer = part("pre_tokenizer").json();
  file.decoder = part("decoder").json();
  file.added_ids = read_post_processors(part("post_processor"));
  return file;
}

}  // namespace moderngpt2::detail

#endif
