#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/tokenizer/added_tokens.hpp"
#include "moderngpt2/tokenizer/bpe.hpp"
#include "moderngpt2/tokenizer/tokenizer_json.hpp"
#include "moderngpt2/tokenizer/utf8.hpp"

namespace moderngpt2::detail {

/// Content of a valid tokenizer.json: ids are contiguous from 0, and all referenced tokens exist.
struct TokenizerFile {
  std::vector<std::string> tokens;  ///< by id, including added tokens
  std::unordered_map<std::string, int> ids;
  int model_size = 0;  ///< number of ids of the model; higher ids are added tokens
  bool unigram = false;
  std::vector<double> scores;    ///< unigram
  std::vector<BpeMerge> merges;  ///< BPE, by rank
  BpeOptions options;            ///< unk and byte fallback apply to unigram too
  std::vector<AddedToken> added_tokens;
  bool replaces_spaces = false;     ///< the normalizer replaces " " by the space mark
  std::vector<int> prefix, suffix;  ///< ids that the post-processor adds to a single text
};

/// Reader of tokenizer.json files of the form that SentencePiece models are converted to. Throws Error that names file
/// and component for anything else: ignoring a component would give ids that differ from Hugging Face `tokenizers`.
class TokenizerFileReader : TokenizerJson {
 public:
  explicit TokenizerFileReader(std::string where) : TokenizerJson(std::move(where)) {}

  TokenizerFile read(const Json& json);

 private:
  int id_of(const std::string& token, std::string_view component) const;

  void read_model(const Json& model);

  void read_bpe(const Json& model);

  void read_vocabulary(const Json& vocabulary);

  void read_merges(const Json& merges);

  void read_unigram(const Json& model);

  void find_bytes();

  void read_added_tokens(const Json& list);

  void read_normalizer(const Json* normalizer);

  void read_pre_tokenizer(const Json* pre_tokenizer) const;

  void read_decoder(const Json* decoder) const;

  void read_post_processor(const Json* processor);

  TokenizerFile file_;
};

}  // namespace moderngpt2::detail

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

MODERNGPT2_INLINE TokenizerFile TokenizerFileReader::read(const Json& json) {
  expect_keys(json, "the file",
              {"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor",
               "decoder", "model"});
  // Settings of the last call in the program that saved the file, for batches of inputs. AutoTokenizer ignores both
  // unless a call asks for them.
  for (const char* key : {"truncation", "padding"})
    if (const Json* value = find_field(json, key, where_); value && !value->is_null() && !value->is_object())
      fail("{} must be null or an object, found {}", key, json_excerpt(*value));
  read_model(field(json, "model", "the file"));
  if (const Json* added = find_field(json, "added_tokens", where_); added && !added->is_null())
    read_added_tokens(*added);
  read_normalizer(find_field(json, "normalizer", where_));
  read_pre_tokenizer(find_field(json, "pre_tokenizer", where_));
  read_decoder(find_field(json, "decoder", where_));
  read_post_processor(find_field(json, "post_processor", where_));
  return std::move(file_);
}

MODERNGPT2_INLINE int TokenizerFileReader::id_of(const std::string& token, std::string_view component) const {
  const auto found = file_.ids.find(token);
  if (found == file_.ids.end()) fail("{}: the token {} is not in the vocabulary", component, excerpt(token, 40));
  return found->second;
}

MODERNGPT2_INLINE void TokenizerFileReader::read_model(const Json& model) {
  if (has_type(model, "BPE")) return read_bpe(model);
  if (has_type(model, "Unigram")) return read_unigram(model);
  fail("the model is {}: only \"BPE\" and \"Unigram\" are supported", describe(model));
}

MODERNGPT2_INLINE void TokenizerFileReader::read_bpe(const Json& model) {
  expect_keys(model, "the model",
              {"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk",
               "byte_fallback", "ignore_merges", "vocab", "merges"});
  expect_null(model, "dropout");
  for (const char* affix : {"continuing_subword_prefix", "end_of_word_suffix"})
    if (get_optional_field<std::string>(model, affix, where_).value_or("") != "")
      fail("the model's {} is not supported: only null is", affix);
  if (get_optional_field<bool>(model, "ignore_merges", where_).value_or(false))
    fail("the model's ignore_merges is true, which is not supported");
  read_vocabulary(field(model, "vocab", "the model"));
  if (const auto unk = get_optional_field<std::string>(model, "unk_token", where_))
    file_.options.unk_id = id_of(*unk, "the model's unk_token");
  file_.options.fuse_unk = get_optional_field<bool>(model, "fuse_unk", where_).value_or(false);
  if (get_optional_field<bool>(model, "byte_fallback", where_).value_or(false)) find_bytes();
  read_merges(field(model, "merges", "the model"));
}

MODERNGPT2_INLINE void TokenizerFileReader::read_vocabulary(const Json& vocabulary) {
  if (!vocabulary.is_object()) fail("the model's vocab must be an object, found {}", json_excerpt(vocabulary));
  const auto size = vocabulary.size();
  std::vector<bool> taken(size, false);
  file_.tokens.resize(size);
  for (const auto& [token, value] : vocabulary.items()) {
    if (token.empty()) fail("the model's vocab has an empty token");
    const auto id = json_as<std::int64_t>(value, "the id of " + excerpt(token, 40), where_);
    if (id < 0) fail("the model's vocab gives {} the negative id {}", excerpt(token, 40), id);
    if (static_cast<std::uint64_t>(id) >= size)
      fail("the model's vocab gives {} the id {}, but has only {} tokens: ids must run from 0 without holes",
           excerpt(token, 40), id, size);
    const auto at = static_cast<std::size_t>(id);
    if (taken[at])
      fail("the model's vocab gives the id {} to both {} and {}", id, excerpt(file_.tokens[at], 40),
           excerpt(token, 40));
    taken[at] = true;
    file_.tokens[at] = token;
    file_.ids.emplace(token, static_cast<int>(id));
  }
  file_.model_size = static_cast<int>(size);
}

MODERNGPT2_INLINE void TokenizerFileReader::read_merges(const Json& merges) {
  if (!merges.is_array()) fail("the model's merges must be a list, found {}", json_excerpt(merges));
  file_.merges.reserve(merges.size());
  for (const Json& merge : merges) {
    const std::string where = fmt::format("merge {} of the model", file_.merges.size());
    std::string left, right;
    if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      left = merge[0].get_ref<const std::string&>();
      right = merge[1].get_ref<const std::string&>();
    } else if (merge.is_string()) {
      const std::string& both = merge.get_ref<const std::string&>();
      const std::size_t space = both.find(' ');
      if (space == both.npos || both.find(' ', space + 1) != both.npos)
        fail("{} is {}: two tokens with one space between are needed", where, excerpt(both, 40));
      left = both.substr(0, space);
      right = both.substr(space + 1);
    } else {
      fail("{} must be \"left right\" or [\"left\", \"right\"], found {}", where, json_excerpt(merge));
    }
    file_.merges.push_back({id_of(left, where), id_of(right, where), id_of(left + right, where)});
  }
}

MODERNGPT2_INLINE void TokenizerFileReader::read_unigram(const Json& model) {
  expect_keys(model, "the model", {"type", "unk_id", "vocab", "byte_fallback"});
  file_.unigram = true;
  const Json& vocabulary = field(model, "vocab", "the model");
  if (!vocabulary.is_array()) fail("the model's vocab must be a list, found {}", json_excerpt(vocabulary));
  for (const Json& entry : vocabulary) {
    const auto id = static_cast<int>(file_.tokens.size());
    if (!entry.is_array() || entry.size() != 2)
      fail("entry {} of the model's vocab must be [token, score], found {}", id, json_excerpt(entry));
    const std::string& token = text(entry[0], fmt::format("the token of id {}", id));
    if (token.empty()) fail("entry {} of the model's vocab is an empty token", id);
    file_.scores.push_back(json_as<double>(entry[1], fmt::format("the score of id {}", id), where_));
    if (!file_.ids.emplace(token, id).second)
      fail("the model's vocab gives the token {} two ids, {} and {}", excerpt(token, 40), file_.ids[token], id);
    file_.tokens.push_back(token);
  }
  file_.model_size = static_cast<int>(file_.tokens.size());
  const int unk = get_field<int>(model, "unk_id", where_);
  if (unk < 0 || unk >= file_.model_size) fail("the model's unk_id {} is not an id of its vocab", unk);
  file_.options.unk_id = unk;
  if (get_optional_field<bool>(model, "byte_fallback", where_).value_or(false)) find_bytes();
}

MODERNGPT2_INLINE void TokenizerFileReader::find_bytes() {
  for (std::size_t byte = 0; byte < 256; ++byte) {
    const auto found = file_.ids.find(fmt::format("<0x{:02X}>", byte));
    if (found != file_.ids.end()) file_.options.byte_ids[byte] = found->second;
  }
}

MODERNGPT2_INLINE void TokenizerFileReader::read_added_tokens(const Json& list) {
  if (!list.is_array()) fail("added_tokens must be a list, found {}", json_excerpt(list));
  std::unordered_map<int, std::string> beyond;  // by id, for ids beyond the model's vocabulary
  std::unordered_set<int> seen_ids;
  std::unordered_set<std::string> seen_contents;
  for (const Json& entry : list) {
    const std::string component = fmt::format("entry {} of added_tokens", file_.added_tokens.size());
    expect_keys(entry, component, {"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"});
    const std::string where = fmt::format("{}: {}", where_, component);
    AddedToken token;
    token.id = get_field<int>(entry, "id", where);
    token.content = get_field<std::string>(entry, "content", where);
    token.single_word = get_field<bool>(entry, "single_word", where);
    token.lstrip = get_field<bool>(entry, "lstrip", where);
    token.rstrip = get_field<bool>(entry, "rstrip", where);
    token.normalized = get_field<bool>(entry, "normalized", where);
    token.special = get_field<bool>(entry, "special", where);
    if (token.content.empty()) fail("{} is empty", component);
    if (token.id < 0) fail("{} has the negative id {}", component, token.id);
    if (!seen_ids.insert(token.id).second) fail("{} repeats the id {}", component, token.id);
    if (!seen_contents.insert(token.content).second) fail("{} repeats {}", component, excerpt(token.content, 40));
    const auto known = file_.ids.find(token.content);
    if (known != file_.ids.end() ? known->second != token.id : token.id < file_.model_size)
      fail("{} gives {} the id {}, which the model's vocab does not", component, excerpt(token.content, 40), token.id);
    if (known == file_.ids.end()) beyond.emplace(token.id, token.content);
    file_.added_tokens.push_back(std::move(token));
  }
  for (int id = file_.model_size; !beyond.empty(); ++id) {
    const auto found = beyond.find(id);
    if (found == beyond.end())
      fail("added_tokens has the id {}, but no token has {}: ids must run from 0 without holes", beyond.begin()->first,
           id);
    file_.ids.emplace(found->second, id);
    file_.tokens.push_back(found->second);
    beyond.erase(found);
  }
}

MODERNGPT2_INLINE void TokenizerFileReader::read_normalizer(const Json* normalizer) {
  if (!normalizer || normalizer->is_null()) return;
  for (const Json* step : steps(*normalizer, "the normalizer", "normalizers")) {
    if (!is_replace(*step, " ", space_mark, "the normalizer"))
      fail("the normalizer is {}: only Replace of \" \" by \"{}\" is supported", describe(*step), space_mark);
    file_.replaces_spaces = true;
  }
}

MODERNGPT2_INLINE void TokenizerFileReader::read_pre_tokenizer(const Json* pre_tokenizer) const {
  if (!pre_tokenizer || pre_tokenizer->is_null()) return;
  const std::string name = "the pre_tokenizer";
  for (const Json* step : steps(*pre_tokenizer, name, "pretokenizers")) {
    if (!has_type(*step, "Split")) fail("{} is {}, which is not supported", name, describe(*step));
    expect_keys(*step, name, {"type", "pattern", "behavior", "invert"});
    const Json& pattern = field(*step, "pattern", name);
    const auto found = pattern.is_object() && pattern.size() == 1 ? pattern.find("String") : pattern.end();
    // GemmaTokenizer splits at spaces, but its normalizer has replaced all of them.
    if (found == pattern.end() || *found != " " || !file_.replaces_spaces ||
        get_field_or<bool>(*step, "invert", false, where_))
      fail("{} splits the text: only a Split at \" \" is supported, after a normalizer that replaces spaces", name);
  }
}

MODERNGPT2_INLINE void TokenizerFileReader::read_decoder(const Json* decoder) const {
  const auto refuse = [&](const Json& found) {
    fail("the decoder is {}: only the Sequence of Replace (\"{}\" by \" \"), ByteFallback and Fuse is supported",
         describe(found), space_mark);
  };
  if (!decoder || !has_type(*decoder, "Sequence")) refuse(decoder ? *decoder : Json());
  const auto list = steps(*decoder, "the decoder", "decoders");
  if (list.size() != 3) refuse(*decoder);
  if (!is_replace(*list[0], space_mark, " ", "the decoder")) refuse(*list[0]);
  if (!has_type(*list[1], "ByteFallback")) refuse(*list[1]);
  if (!has_type(*list[2], "Fuse")) refuse(*list[2]);
}

MODERNGPT2_INLINE void TokenizerFileReader::read_post_processor(const Json* processor) {
  if (!processor || processor->is_null()) return;
  if (!has_type(*processor, "TemplateProcessing"))
    fail("the post_processor is {}: only null and TemplateProcessing are supported", describe(*processor));
  const std::string name = "the post_processor";
  expect_keys(*processor, name, {"type", "single", "pair", "special_tokens"});
  const Json& single = field(*processor, "single", name);
  const Json& special = field(*processor, "special_tokens", name);
  bool after_text = false;
  for (const auto& [ignored, item] : single.items()) {
    const bool one = item.is_object() && item.size() == 1;
    if (one && item.begin().key() == "Sequence" && !after_text) {
      after_text = true;
    } else if (one && item.begin().key() == "SpecialToken") {
      const Json& entry = field(special, get_field<std::string>(item.begin().value(), "id", where_), name);
      for (const auto& [unused, id] : field(entry, "ids", name).items()) {
        const int value = json_as<int>(id, "an id of the post_processor", where_);
        if (value < 0 || static_cast<std::size_t>(value) >= file_.tokens.size())
          fail("{} has the id {}, which no token has", name, value);
        (after_text ? file_.suffix : file_.prefix).push_back(value);
      }
    } else {
      fail("{}: single contains {}, expected SpecialTokens and one Sequence", name, json_excerpt(item));
    }
  }
  if (!after_text) fail("{}: single does not contain the text", name);
}

}  // namespace moderngpt2::detail

#endif
