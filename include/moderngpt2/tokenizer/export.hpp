#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/io/folder.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/tokenizer/chat_template.hpp"
#include "moderngpt2/tokenizer/sentencepiece_json.hpp"
#include "moderngpt2/tokenizer/sentencepiece_model.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"

namespace moderngpt2 {

namespace detail {

bool has_chat_pieces(const SentencePieceModel& model);

}  // namespace detail

/// special_tokens_map.json of a model: the pieces with roles, and the other control pieces.
Json special_tokens_json(const SentencePieceModel& model);

/// tokenizer_config.json of a model. It names PreTrainedTokenizerFast, because Transformers would otherwise choose a
/// class by the model's architecture, which may add tokens. `model_max_length` is in tokens. A model with the control
/// pieces of a chat gets its chat template.
Json tokenizer_config_json(const SentencePieceModel& model, std::int64_t model_max_length);

/// Value of model_max_length, in tokens, for a tokenizer without a model: no limit.
inline constexpr std::int64_t unlimited_model_length = 1'000'000'000;

/// Files of a tokenizer, by name. tokenizer.json is the last one.
using TokenizerFileList = std::vector<std::pair<std::string, std::string>>;

/// tokenizer.model, tokenizer_config.json, special_tokens_map.json and tokenizer.json of a SentencePiece .model file
/// with the content `model_bytes`. Errors begin with `where`.
TokenizerFileList sentencepiece_tokenizer_files(std::string_view model_bytes, const std::string& where,
                                                std::int64_t model_max_length = unlimited_model_length);

/// Writes files into `folder`, which is created if missing. They appear together, the last one last, or not at all.
void write_files_together(const std::filesystem::path& folder, const TokenizerFileList& files);

/// Writes sentencepiece_tokenizer_files() into `folder`.
void write_tokenizer_files(const std::filesystem::path& folder, std::string_view model_bytes, const std::string& where,
                           std::int64_t model_max_length = unlimited_model_length);

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

MODERNGPT2_INLINE bool has_chat_pieces(const SentencePieceModel& model) {
  return std::all_of(std::begin(chat_header_tokens), std::end(chat_header_tokens), [&](const char* token) {
    return find_piece(model, SentencePieceModel::Type::control, token).has_value();
  });
}

}  // namespace moderngpt2::detail

namespace moderngpt2 {

MODERNGPT2_INLINE Json special_tokens_json(const SentencePieceModel& model) {
  using Type = SentencePieceModel::Type;
  Json json = Json::object();
  const auto role = [&](const char* name, Type type, const std::string& piece) {
    if (detail::find_piece(model, type, piece)) json[name] = piece;
  };
  role("bos_token", Type::control, model.bos_piece);
  role("eos_token", Type::control, model.eos_piece);
  role("unk_token", Type::unknown, model.unk_piece);
  role("pad_token", Type::control, model.pad_piece);
  Json others = Json::array();
  for (const auto& piece : model.pieces)
    if (piece.type == Type::control && piece.text != model.bos_piece && piece.text != model.eos_piece &&
        piece.text != model.pad_piece)
      others.push_back(piece.text);
  json["additional_special_tokens"] = std::move(others);
  return json;
}

MODERNGPT2_INLINE Json tokenizer_config_json(const SentencePieceModel& model, std::int64_t model_max_length) {
  Json json = special_tokens_json(model);
  json["tokenizer_class"] = "PreTrainedTokenizerFast";
  json["clean_up_tokenization_spaces"] = false;
  json["model_max_length"] = model_max_length;
  json["padding_side"] = "left";
  if (detail::has_chat_pieces(model)) json["chat_template"] = chat_jinja_template();
  return json;
}

MODERNGPT2_INLINE TokenizerFileList sentencepiece_tokenizer_files(std::string_view model_bytes,
                                                                  const std::string& where,
                                                                  std::int64_t model_max_length) {
  const SentencePieceModel model = parse_sentencepiece_model(model_bytes, where);
  TokenizerFileList files;
  const auto add_json = [&](const char* name, const Json& value) {
    files.emplace_back(name, json_text(value, where + ": " + name));
  };
  files.emplace_back("tokenizer.model", std::string(model_bytes));
  add_json("tokenizer_config.json", tokenizer_config_json(model, model_max_length));
  add_json("special_tokens_map.json", special_tokens_json(model));
  add_json("tokenizer.json", tokenizer_json(model, where));
  (void)Tokenizer::parse(files.back().second, where);  // throws if nothing would load it
  return files;
}

MODERNGPT2_INLINE void write_files_together(const std::filesystem::path& folder, const TokenizerFileList& list) {
  make_folder(folder);
  std::deque<AtomicFile> files;
  for (const auto& [name, content] : list) files.emplace_back(folder / name).write(content);
  for (AtomicFile& file : files) file.finish();
  for (AtomicFile& file : files) file.commit();
}

MODERNGPT2_INLINE void write_tokenizer_files(const std::filesystem::path& folder, std::string_view model_bytes,
                                             const std::string& where, std::int64_t model_max_length) {
  write_files_together(folder, sentencepiece_tokenizer_files(model_bytes, where, model_max_length));
}

}  // namespace moderngpt2

#endif
