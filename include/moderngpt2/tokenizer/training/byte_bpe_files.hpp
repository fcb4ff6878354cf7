#pragma once

#include <cstddef>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/io/folder.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/tokenizer/added_tokens.hpp"
#include "moderngpt2/tokenizer/chat_template.hpp"
#include "moderngpt2/tokenizer/component.hpp"
#include "moderngpt2/tokenizer/export.hpp"
#include "moderngpt2/tokenizer/pre_tokenizers/split.hpp"
#include "moderngpt2/tokenizer/split_patterns.hpp"
#include "moderngpt2/tokenizer/training/byte_bpe.hpp"

namespace moderngpt2 {

namespace detail {

/// Regular expression of --split_pattern: a known name's, or the text itself if it has characters that no name has.
inline std::string split_expression(const std::string& pattern) {
  const bool is_name = std::all_of(pattern.begin(), pattern.end(),
                                   [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; });
  if (is_name) return std::string(moderngpt2::split_pattern(pattern));
  if (valid_utf8_prefix(pattern) != pattern.size()) throw Error("split_pattern: not UTF-8");
  return pattern;
}

/// Split component of a tokenizer.json.
inline Json split_json(const std::string& pattern) {
  Json json;
  json["type"] = "Split";
  json["pattern"]["Regex"] = split_expression(pattern);
  json["behavior"] = "Isolated";
  json["invert"] = false;
  return json;
}

inline Json byte_level_json(bool trim_offsets) {
  Json json;
  json["type"] = "ByteLevel";
  json["add_prefix_space"] = false;
  json["trim_offsets"] = trim_offsets;
  json["use_regex"] = false;
  return json;
}

}  // namespace detail

/// Splitting of text into words by a named pattern or a regular expression. Throws Error for an invalid one.
inline SplitText split_text(const std::string& pattern) {
  const Json json = detail::split_json(pattern);
  const auto split =
      std::make_shared<detail::SplitPreTokenizer>(detail::Component(json, fmt::format("{}", Setting{"split_pattern"})));
  return [split](std::string_view text, const std::function<void(std::string_view)>& emit) {
    (*split)(detail::Piece{text, true}, [&](const detail::Piece& piece) { emit(piece.text); });
  };
}

/// tokenizer.json of a byte-level BPE tokenizer, as `tokenizers` writes it: Split by the pattern and ByteLevel.
inline Json byte_bpe_json(const ByteBpe& trained, const std::string& pattern) {
  using detail::byte_level_json;
  Json json;
  json["version"] = "1.0";
  json["truncation"] = nullptr;
  json["padding"] = nullptr;
  Json added = Json::array();
  for (std::size_t id = 0; id < trained.special_tokens.size(); ++id)
    added.push_back(
        added_token_json({.id = static_cast<int>(id), .content = trained.special_tokens[id], .special = true}));
  json["added_tokens"] = std::move(added);
  json["normalizer"] = nullptr;
  json["pre_tokenizer"]["type"] = "Sequence";
  json["pre_tokenizer"]["pretokenizers"] = Json::array({detail::split_json(pattern), byte_level_json(true)});
  json["post_processor"] = byte_level_json(false);
  json["decoder"] = byte_level_json(true);
  Json vocabulary = Json::object();
  auto& entries = vocabulary.get_ref<Json::object_t&>();
  for (std::size_t id = 0; id < trained.tokens.size(); ++id) entries.emplace_back(trained.tokens[id], Json(id));
  Json merges = Json::array();
  for (const auto& [left, right] : trained.merges) merges.push_back(Json::array({left, right}));
  Json model;
  model["type"] = "BPE";
  model["dropout"] = nullptr;
  model["unk_token"] = nullptr;
  model["continuing_subword_prefix"] = nullptr;
  model["end_of_word_suffix"] = nullptr;
  model["fuse_unk"] = false;
  model["byte_fallback"] = false;
  model["ignore_merges"] = false;
  model["vocab"] = std::move(vocabulary);
  model["merges"] = std::move(merges);
  json["model"] = std::move(model);
  return json;
}

/// Writes tokenizer.json, tokenizer_config.json and special_tokens_map.json into `folder`, which is created if missing.
/// The files appear together, tokenizer.json last, or not at all.
inline void write_byte_bpe_files(const std::filesystem::path& folder, const ByteBpe& trained,
                                 const std::string& pattern) {
  SentencePieceModel roles;  // the special tokens, for the files that name them
  roles.unk_piece = "<unk>";
  roles.eos_piece = "<|endoftext|>";
  roles.pad_piece = "<pad>";
  for (const std::string& token : trained.special_tokens)
    roles.pieces.push_back(
        {token, 0, token == roles.unk_piece ? SentencePieceModel::Type::unknown : SentencePieceModel::Type::control});
  make_folder(folder);
  std::deque<AtomicFile> files;
  const auto add = [&](const char* name, const Json& value) {
    files.emplace_back(folder / name).write(json_text(value, (folder / name).string()));
  };
  add("tokenizer_config.json", tokenizer_config_json(roles, unlimited_model_length));
  add("special_tokens_map.json", special_tokens_json(roles));
  add("tokenizer.json", byte_bpe_json(trained, pattern));
  for (AtomicFile& file : files) file.finish();
  for (AtomicFile& file : files) file.commit();
}

}  // namespace moderngpt2
