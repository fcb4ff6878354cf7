#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/gguf/reader.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/io/tokenizer_files.hpp"
#include "moderngpt2/tokenizer/added_tokens.hpp"
#include "moderngpt2/tokenizer/gguf_pre_tokenizers.hpp"
#include "moderngpt2/tokenizer/sentencepiece_json.hpp"
#include "moderngpt2/tokenizer/sentencepiece_model.hpp"
#include "moderngpt2/tokenizer/utf8.hpp"

// The tokenizer in a GGUF file, as the files that a model folder has. Source: llama-vocab.cpp of llama.cpp.
namespace moderngpt2::detail {

/// Reader of the keys tokenizer.ggml.* of a GGUF file.
class GgufTokenizer {
 public:
  explicit GgufTokenizer(const GgufMetadata& metadata);

  /// tokenizer.json whose ids are those of llama.cpp with parse_special.
  Json json() const;

  /// tokenizer_config.json: special tokens and chat template.
  Json config() const;

 private:
  /// Values of tokenizer.ggml.token_type.
  enum class Type { undefined, normal, unknown, control, user_defined, unused, byte };

  std::string key(const char* name) const { return std::string("tokenizer.ggml.") + name; }
  template <class... Args>
  [[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) const {
    throw Error("{}: {}", metadata_.where(), fmt::format(format, std::forward<Args>(args)...));
  }
  bool is_spm() const { return model_ == "llama"; }
  std::optional<std::size_t> id(const char* name, std::optional<std::size_t> otherwise = std::nullopt) const;
  std::size_t unknown_id() const;
  Json added_tokens() const;
  Json post_processor() const;
  Json sentencepiece_parts() const;
  Json byte_level_parts() const;

  const GgufMetadata& metadata_;
  std::string model_;
  const GgufPreTokenizer* pre_ = nullptr;
  std::vector<std::string> tokens_;
  std::vector<Type> types_;
};

/// Files tokenizer.json and tokenizer_config.json of a GGUF file, with their contents. Throws Error for a tokenizer
/// that is not supported, which it names.
std::vector<std::pair<std::string, std::string>> gguf_tokenizer_files(const std::filesystem::path& path);

/// Registers the reader with TokenizerFiles::read() when the program starts.
inline const bool has_gguf_tokenizer_reader = [] {
  gguf_tokenizer_reader.store(&gguf_tokenizer_files);
  return true;
}();

}  // namespace moderngpt2::detail

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

MODERNGPT2_INLINE std::vector<std::pair<std::string, std::string>> gguf_tokenizer_files(
    const std::filesystem::path& path) {
  const GgufFile file(path);
  const GgufTokenizer tokenizer(file.metadata());
  const std::string where = path.string();
  return {{"tokenizer.json", json_text(tokenizer.json(), where)},
          {"tokenizer_config.json", json_text(tokenizer.config(), where)}};
}

MODERNGPT2_INLINE GgufTokenizer::GgufTokenizer(const GgufMetadata& metadata) : metadata_(metadata) {
  model_ = metadata.get<std::string>(key("model")).value_or("none");
  if (model_ == "none" || model_ == "no_vocab")
    fail("the file has no tokenizer. Give the folder of the model's tokenizer");
  if (model_ != "llama" && model_ != "gpt2")
    fail(
        "the tokenizer {} is not read: llama (SentencePiece BPE) and gpt2 (byte-level BPE) are. Give the folder of the "
        "model's tokenizer.",
        excerpt(model_, 40));
  const std::vector<std::string>* tokens = metadata.get_texts(key("tokens"));
  if (!tokens || tokens->empty()) fail("the key {} is missing", key("tokens"));
  tokens_ = *tokens;
  const std::vector<int> types = metadata.get_numbers<int>(key("token_type"));
  if (!types.empty() && types.size() < tokens_.size())
    fail("{} has {} elements for {} tokens", key("token_type"), types.size(), tokens_.size());
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    const int type = types.empty() ? 1 : types[i];
    types_.push_back(type >= 1 && type <= 6 ? static_cast<Type>(type) : Type::normal);
    if (tokens_[i].empty()) tokens_[i] = "[EMPTY_" + std::to_string(i) + "]";
    if (valid_utf8_prefix(tokens_[i]) != tokens_[i].size()) fail("the token {} is not UTF-8", i);
  }
  if (is_spm()) return;
  const auto pre = metadata.get<std::string>(key("pre")).value_or("default");
  pre_ = find_gguf_pre_tokenizer(pre);
  if (!pre_) fail("{} is {}, which is not read. Known: {}.", key("pre"), excerpt(pre, 40), gguf_pre_tokenizer_names());
}

MODERNGPT2_INLINE std::optional<std::size_t> GgufTokenizer::id(const char* name,
                                                               std::optional<std::size_t> otherwise) const {
  const auto given = metadata_.get<std::uint32_t>(key(name));
  if (given && *given < tokens_.size()) return *given;
  if (otherwise && *otherwise >= tokens_.size()) return std::nullopt;
  return otherwise;
}

MODERNGPT2_INLINE std::size_t GgufTokenizer::unknown_id() const {
  const auto found = std::find(types_.begin(), types_.end(), Type::unknown);
  if (found != types_.end()) return static_cast<std::size_t>(found - types_.begin());
  const auto given = id("unknown_token_id", 0);
  if (given && types_[*given] == Type::control) return *given;
  fail("no token has the type unknown");
}

MODERNGPT2_INLINE Json GgufTokenizer::added_tokens() const {
  Json list = Json::array();
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    const Type type = types_[i];
    if (type != Type::unknown && type != Type::control && type != Type::user_defined) continue;
    list.push_back(
        added_token_json({.id = static_cast<int>(i), .content = tokens_[i], .special = type != Type::user_defined}));
  }
  return list;
}

MODERNGPT2_INLINE Json GgufTokenizer::post_processor() const {
  const bool bos = metadata_.get<bool>(key("add_bos_token")).value_or(is_spm() || pre_->adds_bos);
  const bool eos = metadata_.get<bool>(key("add_eos_token")).value_or(false);
  const auto bos_id = id("bos_token_id", is_spm() ? 1 : 11), eos_id = id("eos_token_id", is_spm() ? 2 : 11);
  Json single = Json::array(), pair = Json::array(), special = Json::object();
  const auto add = [&](std::size_t token, int type, Json& to) {
    const std::string& text = tokens_[token];
    to.push_back({{"SpecialToken", {{"id", text}, {"type_id", type}}}});
    special[text] = {{"id", text}, {"ids", Json::array({token})}, {"tokens", Json::array({text})}};
  };
  const auto sequence = [](const char* name, int type) {
    return Json{{"Sequence", {{"id", name}, {"type_id", type}}}};
  };
  for (Json* list : {&single, &pair}) {
    if (bos && bos_id) add(*bos_id, 0, *list);
    list->push_back(sequence("A", 0));
    if (eos && eos_id) add(*eos_id, 0, *list);
  }
  pair.push_back(sequence("B", 1));
  if (special.empty()) return nullptr;
  return {{"type", "TemplateProcessing"}, {"single", single}, {"pair", pair}, {"special_tokens", special}};
}

/// Components normalizer, decoder and model of SentencePiece-style BPE. llama.cpp merges the pair whose result has the
/// highest score, as SentencePiece does.
MODERNGPT2_INLINE Json GgufTokenizer::sentencepiece_parts() const {
  using Kind = SentencePieceModel::Type;
  SentencePieceModel model;
  model.algorithm = SentencePieceModel::Algorithm::bpe;
  model.byte_fallback = true;
  model.add_dummy_prefix = metadata_.get<bool>(key("add_space_prefix")).value_or(true);
  model.remove_extra_whitespaces = false;
  std::vector<float> scores = metadata_.get_numbers<float>(key("scores"));
  if (!scores.empty() && scores.size() < tokens_.size())
    fail("{} has {} elements for {} tokens", key("scores"), scores.size(), tokens_.size());
  scores.resize(tokens_.size());
  const std::size_t unknown = unknown_id();
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    if (scores[i] != scores[i]) fail("the score of token {} is not a number", i);
    const Kind kind = i == unknown ? Kind::unknown : static_cast<Kind>(static_cast<int>(types_[i]));
    model.pieces.push_back({tokens_[i], scores[i], kind});
  }
  model.unk_piece = tokens_[unknown];
  check_exportable(model, metadata_.where());
  Json normalizer = replace_json(" ", space_mark);
  if (model.add_dummy_prefix)
    normalizer = {{"type", "Sequence"},
                  {"normalizers", Json::array({{{"type", "Prepend"}, {"prepend", space_mark}}, normalizer})}};
  return {{"normalizer", std::move(normalizer)},
          {"pre_tokenizer", nullptr},
          {"decoder", decoder_json(model)},
          {"model", bpe_model_json(model)}};
}

MODERNGPT2_INLINE Json GgufTokenizer::byte_level_parts() const {
  Json vocabulary = Json::object(), merges = Json::array();
  // emplace_back on the underlying vector: the map's insertion would compare all keys.
  for (std::size_t i = 0; i < tokens_.size(); ++i)
    vocabulary.get_ref<Json::object_t&>().emplace_back(tokens_[i], Json(i));
  std::vector<std::string_view> sorted(tokens_.begin(), tokens_.end());
  std::sort(sorted.begin(), sorted.end());
  const auto twin = std::adjacent_find(sorted.begin(), sorted.end());
  if (twin != sorted.end()) fail("two tokens are {}", excerpt(*twin, 40));
  const std::vector<std::string>* list = metadata_.get_texts(key("merges"));
  if (!list) fail("the key {} is missing", key("merges"));
  for (const std::string& merge : *list) {
    const std::size_t space = merge.find(' ', 1);
    if (space == merge.npos || space + 1 == merge.size() || valid_utf8_prefix(merge) != merge.size())
      fail("the merge {} is not two tokens with a space between", excerpt(merge, 40));
    merges.push_back(Json::array({merge.substr(0, space), merge.substr(space + 1)}));
  }
  Json model;
  model["type"] = "BPE";
  for (const char* name : {"dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix"})
    model[name] = nullptr;
  model["fuse_unk"] = false;
  model["byte_fallback"] = false;
  model["ignore_merges"] = pre_->ignore_merges;
  model["vocab"] = std::move(vocabulary);
  model["merges"] = std::move(merges);
  return {{"normalizer", nullptr},
          {"pre_tokenizer", gguf_pre_tokenizer_json(pre_->split)},
          {"decoder", gguf_byte_level(true)},
          {"model", std::move(model)}};
}

MODERNGPT2_INLINE Json GgufTokenizer::json() const {
  Json parts = is_spm() ? sentencepiece_parts() : byte_level_parts();
  Json json;
  json["version"] = "1.0";
  json["truncation"] = nullptr;
  json["padding"] = nullptr;
  json["added_tokens"] = added_tokens();
  json["normalizer"] = std::move(parts["normalizer"]);
  json["pre_tokenizer"] = std::move(parts["pre_tokenizer"]);
  json["post_processor"] = post_processor();
  json["decoder"] = std::move(parts["decoder"]);
  json["model"] = std::move(parts["model"]);
  return json;
}

MODERNGPT2_INLINE Json GgufTokenizer::config() const {
  Json json = Json::object();
  const auto role = [&](const char* name, std::optional<std::size_t> token) {
    if (token) json[name] = tokens_[*token];
  };
  // llama.cpp takes token 2 as eos unless the file names one.
  const auto usual = [&](std::size_t token) {
    const bool is_control = is_spm() && token < tokens_.size() && types_[token] == Type::control;
    return is_control ? std::optional(token) : std::nullopt;
  };
  role("bos_token", id("bos_token_id"));
  role("eos_token", id("eos_token_id", usual(2)));
  role("unk_token", id("unknown_token_id"));
  role("pad_token", id("padding_token_id"));
  json["tokenizer_class"] = "PreTrainedTokenizerFast";
  json["clean_up_tokenization_spaces"] = false;
  if (const auto chat = metadata_.get<std::string>("tokenizer.chat_template"); chat && chat->size() < (1 << 20)) {
    if (valid_utf8_prefix(*chat) != chat->size()) fail("tokenizer.chat_template is not UTF-8");
    json["chat_template"] = *chat;
  }
  return json;
}

}  // namespace moderngpt2::detail

#endif
