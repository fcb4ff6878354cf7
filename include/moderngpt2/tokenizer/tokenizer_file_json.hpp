#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/tokenizer/tokenizer_file.hpp"

namespace moderngpt2 {

/// Writes the tokenizer.json of a tokenizer of another format: tiktoken, tekken, vocab.json with
/// merges.txt, vocab.txt. Hugging Face `tokenizers` gives each token the id that it has in `file`.
Json tokenizer_json(const detail::TokenizerFile& file);

namespace detail {

/// Text of a token of the model or an added token. Throws Error for an id without a token.
std::string token_of(const TokenizerFile& file, int id);

/// Writes the component "model". `added`: tokens to add to the vocabulary.
Json model_json(const TokenizerFile& file, const std::vector<AddedToken>& added);

/// TemplateProcessing that adds the file's ids around a text; null if there are none.
Json post_processor_json(const TokenizerFile& file);

/// Whether `tokenizers` numbers added tokens by itself as the file does: those that the model does not have follow the
/// model's, which have no holes. `tokens` are sorted by id.
bool are_numbered_in_order(const TokenizerFile& file, const std::vector<AddedToken>& tokens);

}  // namespace detail
}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

MODERNGPT2_INLINE std::string token_of(const TokenizerFile& file, int id) {
  for (const AddedToken& token : file.added_tokens)
    if (token.id == id) return token.content;
  const auto at = static_cast<std::size_t>(id);
  if (id < 0 || at >= file.model.tokens.size() || !file.model.exists[at])
    throw Error("{}: the id {} has no token", file.where, id);
  return file.model.tokens[at];
}

MODERNGPT2_INLINE Json model_json(const TokenizerFile& file, const std::vector<AddedToken>& added) {
  const ModelFile& model = file.model;
  std::vector<std::pair<int, const std::string*>> tokens;
  for (std::size_t id = 0; id < model.tokens.size(); ++id) {
    const std::string& token = model.tokens[id];
    if (!model.exists[id]) continue;
    // The last of equal lines in a vocab.txt counts.
    if (const auto found = model.ids.find(token); found->second == static_cast<int>(id))
      tokens.emplace_back(static_cast<int>(id), &token);
  }
  for (const AddedToken& token : added)
    if (!model.ids.contains(token.content)) tokens.emplace_back(token.id, &token.content);
  std::sort(tokens.begin(), tokens.end());
  Json vocabulary = Json::object();
  // emplace_back on the underlying vector: keys are distinct, and the map's insertion would compare all of them.
  for (const auto& [id, token] : tokens) vocabulary.get_ref<Json::object_t&>().emplace_back(*token, Json(id));
  const Json unk = model.options.unk_id < 0 ? Json(nullptr) : Json(token_of(file, model.options.unk_id));
  Json json;
  switch (model.kind) {
    case ModelFile::Kind::bpe: {
      const auto text_or_null = [](const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); };
      const auto& bytes = model.options.byte_ids;
      Json merges = Json::array();
      for (const BpeMerge& merge : model.merges)
        merges.push_back(Json::array(
            {model.tokens[static_cast<std::size_t>(merge.left)], model.tokens[static_cast<std::size_t>(merge.right)]}));
      json["type"] = "BPE";
      json["dropout"] = nullptr;
      json["unk_token"] = unk;
      json["continuing_subword_prefix"] = text_or_null(model.options.continuing_subword_prefix);
      json["end_of_word_suffix"] = text_or_null(model.options.end_of_word_suffix);
      json["fuse_unk"] = model.options.fuse_unk;
      json["byte_fallback"] = std::any_of(bytes.begin(), bytes.end(), [](int id) { return id >= 0; });
      json["ignore_merges"] = model.options.ignore_merges;
      json["vocab"] = std::move(vocabulary);
      json["merges"] = std::move(merges);
      return json;
    }
    case ModelFile::Kind::word_piece:
      json["type"] = "WordPiece";
      json["unk_token"] = unk;
      json["continuing_subword_prefix"] = model.prefix;
      json["max_input_chars_per_word"] = model.longest_word;
      json["vocab"] = std::move(vocabulary);
      return json;
    case ModelFile::Kind::word_level:
      json["type"] = "WordLevel";
      json["unk_token"] = unk;
      json["vocab"] = std::move(vocabulary);
      return json;
    case ModelFile::Kind::unigram:
      break;
  }
  throw Error("{}: a unigram model: convert its SentencePiece model with {}", file.where, Setting{"spm_model"});
}

MODERNGPT2_INLINE Json post_processor_json(const TokenizerFile& file) {
  const auto& [prefix, suffix] = file.added_ids;
  if (prefix.empty() && suffix.empty()) return nullptr;
  Json special = Json::object();
  const auto append = [&](const std::vector<int>& ids, int type, Json& list) {
    for (const int id : ids) {
      const std::string token = token_of(file, id);
      list.push_back({{"SpecialToken", {{"id", token}, {"type_id", type}}}});
      special[token] = {{"id", token}, {"ids", Json::array({id})}, {"tokens", Json::array({token})}};
    }
  };
  const auto text = [](const char* name, int type) { return Json{{"Sequence", {{"id", name}, {"type_id", type}}}}; };
  Json single = Json::array(), pair = Json::array();
  for (Json* const list : {&single, &pair}) {
    append(prefix, 0, *list);
    list->push_back(text("A", 0));
    append(suffix, 0, *list);
  }
  pair.push_back(text("B", 1));
  append(suffix, 1, pair);
  Json json;
  json["type"] = "TemplateProcessing";
  json["single"] = std::move(single);
  json["pair"] = std::move(pair);
  json["special_tokens"] = std::move(special);
  return json;
}

MODERNGPT2_INLINE bool are_numbered_in_order(const TokenizerFile& file, const std::vector<AddedToken>& tokens) {
  int next = file.model.size();
  if (file.model.ids.size() != file.model.tokens.size()) return false;  // holes
  for (const AddedToken& token : tokens)
    if (!file.model.ids.contains(token.content) && token.id != next++) return false;
  return true;
}

}  // namespace moderngpt2::detail

namespace moderngpt2 {

MODERNGPT2_INLINE Json tokenizer_json(const detail::TokenizerFile& file) {
  std::vector<AddedToken> added = file.added_tokens;
  std::sort(added.begin(), added.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  const bool in_order = detail::are_numbered_in_order(file, added);
  Json list = Json::array();
  for (const AddedToken& token : added) list.push_back(added_token_json(token));
  const Json byte_level = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}};
  Json pre_tokenizer = file.pre_tokenizer, decoder = file.decoder;
  if (!file.tiktoken_pattern.empty()) {
    const Json split = {{"type", "Split"},
                        {"pattern", {{"Regex", file.tiktoken_pattern}}},
                        {"behavior", "Isolated"},
                        {"invert", false}};
    pre_tokenizer = {{"type", "Sequence"}, {"pretokenizers", Json::array({split, byte_level})}};
    decoder = byte_level;
  }
  Json json;
  json["version"] = "1.0";
  json["truncation"] = nullptr;
  json["padding"] = nullptr;
  json["added_tokens"] = std::move(list);
  json["normalizer"] = file.normalizer;
  json["pre_tokenizer"] = std::move(pre_tokenizer);
  json["post_processor"] = detail::post_processor_json(file);
  json["decoder"] = std::move(decoder);
  json["model"] = detail::model_json(file, in_order ? std::vector<AddedToken>() : added);
  return json;
}

}  // namespace moderngpt2

#endif
