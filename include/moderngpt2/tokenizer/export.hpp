#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/io/folder.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/tokenizer/byte_trie.hpp"
#include "moderngpt2/tokenizer/chat_template.hpp"
#include "moderngpt2/tokenizer/sentencepiece_model.hpp"
#include "moderngpt2/tokenizer/tokenizer_file.hpp"
#include "moderngpt2/tokenizer/utf8.hpp"

namespace moderngpt2 {

namespace detail {

/// Merges of a SentencePiece BPE model as pairs of texts: every split of a normal piece into two normal pieces, found
/// in time linear in the pieces' lengths. These are the merges that SentencePiece can make: it looks up the
/// concatenated text of neighbours, and never merges control, user-defined or byte pieces. Ordered by (id of the
/// result, length of the left part), so that a merge's rank follows the piece's rank.
Json bpe_merges(const SentencePieceModel& model);

std::optional<int> find_piece(const SentencePieceModel& model, SentencePieceModel::Type type, const std::string& text);

bool has_chat_pieces(const SentencePieceModel& model);

Json bpe_model_json(const SentencePieceModel& model);

/// Unigram model of a tokenizer.json. `tokenizers` matches every piece in the text, SentencePiece only normal and
/// user-defined ones. Byte, control and unknown pieces therefore get a score below any sum over their characters, so
/// that text such as "<0x41>" stays text unless one of its characters has no piece.
Json unigram_model_json(const SentencePieceModel& model);

/// Whether a piece can never match: a user-defined piece with a space. SentencePiece replaces spaces in the text by
/// space marks, and not those in the pieces.
bool never_matches(const SentencePieceModel::Piece& piece);

/// added_tokens of a tokenizer.json. Special tokens are pieces without text (unknown, control). User-defined pieces
/// match the normalized text, as in SentencePiece: spaces are already space marks, and the longest match at a position
/// wins.
Json added_tokens_json(const SentencePieceModel& model);

Json replace_json(std::string_view from, std::string_view to);

void check_exportable(const SentencePieceModel& model, const std::string& where);

}  // namespace detail

/// Settings of a model for which its tokenizer.json gives ids that differ from SentencePiece's. If there are none, the
/// ids of text without special tokens are equal (unigram: except for ties within rounding): SentencePiece reads a
/// special token in the text, such as "</s>", as ordinary text.
std::vector<std::string> sentencepiece_differences(const SentencePieceModel& model);

/// tokenizer.json of a BPE or unigram model. Normalizer: Replace of " " by the space mark. Decoder: the reverse,
/// ByteFallback and Fuse. Unknown, control and user-defined pieces become added tokens. Throws Error that begins with
/// `where` for other model types.
Json tokenizer_json(const SentencePieceModel& model, const std::string& where);

/// special_tokens_map.json of a model: the pieces with roles, and the other control pieces.
Json special_tokens_json(const SentencePieceModel& model);

/// tokenizer_config.json of a model. It names PreTrainedTokenizerFast, because Transformers would otherwise choose a
/// class by the model's architecture, which may add tokens. `model_max_length` is in tokens. A model with the control
/// pieces of a chat gets its chat template.
Json tokenizer_config_json(const SentencePieceModel& model, std::int64_t model_max_length);

/// Value of model_max_length, in tokens, for a tokenizer without a model: no limit.
inline constexpr std::int64_t unlimited_model_length = 1'000'000'000;

/// Writes tokenizer.model, tokenizer.json, tokenizer_config.json and special_tokens_map.json into `folder`, which is
/// created if missing. `model_bytes` is a SentencePiece .model file; errors begin with `where`. The files appear
/// together, tokenizer.json last, or not at all.
void write_tokenizer_files(const std::filesystem::path& folder, std::string_view model_bytes, const std::string& where,
                           std::int64_t model_max_length = unlimited_model_length);

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

MODERNGPT2_INLINE Json bpe_merges(const SentencePieceModel& model) {
  using Type = SentencePieceModel::Type;
  const auto reversed = [](const std::string& text) { return std::string(text.rbegin(), text.rend()); };
  ByteTrie pieces, backward;
  for (const auto& piece : model.pieces) {
    if (piece.type != Type::normal) continue;
    pieces.insert(piece.text, 0);
    backward.insert(reversed(piece.text), 0);
  }
  Json merges = Json::array();
  std::vector<std::size_t> ends, begins;  // cuts after a piece, and before a piece
  for (const auto& piece : model.pieces) {
    if (piece.type != Type::normal) continue;
    const std::string_view text = piece.text;
    ends.clear(), begins.clear();
    pieces.for_each_prefix(text, [&](std::size_t length, int) { ends.push_back(length); });
    backward.for_each_prefix(reversed(piece.text),
                             [&](std::size_t length, int) { begins.push_back(text.size() - length); });
    std::reverse(begins.begin(), begins.end());
    std::vector<std::size_t> cuts;
    std::set_intersection(ends.begin(), ends.end(), begins.begin(), begins.end(), std::back_inserter(cuts));
    for (const std::size_t cut : cuts) merges.push_back(Json::array({text.substr(0, cut), text.substr(cut)}));
  }
  return merges;
}

MODERNGPT2_INLINE bool never_matches(const SentencePieceModel::Piece& piece) {
  return piece.type == SentencePieceModel::Type::user_defined && piece.text.find(' ') != std::string::npos;
}

MODERNGPT2_INLINE std::optional<int> find_piece(const SentencePieceModel& model, SentencePieceModel::Type type,
                                                const std::string& text) {
  for (std::size_t id = 0; id < model.pieces.size(); ++id)
    if (model.pieces[id].type == type && model.pieces[id].text == text) return static_cast<int>(id);
  return std::nullopt;
}

MODERNGPT2_INLINE bool has_chat_pieces(const SentencePieceModel& model) {
  return std::all_of(std::begin(chat_header_tokens), std::end(chat_header_tokens), [&](const char* token) {
    return find_piece(model, SentencePieceModel::Type::control, token).has_value();
  });
}

MODERNGPT2_INLINE Json bpe_model_json(const SentencePieceModel& model) {
  Json vocabulary = Json::object();
  auto& entries = vocabulary.get_ref<Json::object_t&>();
  int id = 0;
  // push_back on the underlying vector: keys are distinct, and the map's insertion would compare all of them.
  for (const auto& piece : model.pieces) entries.emplace_back(piece.text, Json(id++));
  Json json;
  json["type"] = "BPE";
  json["dropout"] = nullptr;
  json["unk_token"] = model.unk_piece;
  json["continuing_subword_prefix"] = nullptr;
  json["end_of_word_suffix"] = nullptr;
  json["fuse_unk"] = true;
  json["byte_fallback"] = model.byte_fallback;
  json["ignore_merges"] = false;
  json["vocab"] = std::move(vocabulary);
  json["merges"] = bpe_merges(model);
  return json;
}

MODERNGPT2_INLINE Json unigram_model_json(const SentencePieceModel& model) {
  using Type = SentencePieceModel::Type;
  const auto is_text = [](Type type) { return type == Type::normal || type == Type::user_defined; };
  double lowest = -1;
  std::size_t longest = 0;  // in bytes, an upper bound of the number of characters
  for (const auto& piece : model.pieces) {
    if (is_text(piece.type))
      lowest = std::min(lowest, static_cast<double>(piece.score));
    else
      longest = std::max(longest, piece.text.size());
  }
  const double never = lowest * static_cast<double>(longest + 1);
  Json vocabulary = Json::array();
  for (const auto& piece : model.pieces)
    vocabulary.push_back(Json::array({piece.text, is_text(piece.type) ? static_cast<double>(piece.score) : never}));
  Json json;
  json["type"] = "Unigram";
  json["unk_id"] = *find_piece(model, SentencePieceModel::Type::unknown, model.unk_piece);
  json["vocab"] = std::move(vocabulary);
  json["byte_fallback"] = model.byte_fallback;
  return json;
}

MODERNGPT2_INLINE Json added_tokens_json(const SentencePieceModel& model) {
  using Type = SentencePieceModel::Type;
  Json list = Json::array();
  for (std::size_t id = 0; id < model.pieces.size(); ++id) {
    const auto& piece = model.pieces[id];
    if (piece.type != Type::control && piece.type != Type::unknown && piece.type != Type::user_defined) continue;
    if (never_matches(piece)) continue;
    Json token;
    token["id"] = id;
    token["content"] = piece.text;
    for (const char* flag : {"single_word", "lstrip", "rstrip"}) token[flag] = false;
    token["normalized"] = piece.type == Type::user_defined;
    token["special"] = piece.type != Type::user_defined;
    list.push_back(std::move(token));
  }
  return list;
}

MODERNGPT2_INLINE Json replace_json(std::string_view from, std::string_view to) {
  Json json;
  json["type"] = "Replace";
  json["pattern"]["String"] = from;
  json["content"] = to;
  return json;
}

MODERNGPT2_INLINE void check_exportable(const SentencePieceModel& model, const std::string& where) {
  using Algorithm = SentencePieceModel::Algorithm;
  if (model.algorithm != Algorithm::bpe && model.algorithm != Algorithm::unigram)
    throw Error("{}: a word or character model; only bpe and unigram models can be converted to a tokenizer.json",
                where);
  if (!find_piece(model, SentencePieceModel::Type::unknown, model.unk_piece))
    throw Error("{}: the unknown piece {} is not in the vocabulary", where, excerpt(model.unk_piece, 40));
  std::unordered_map<std::string_view, std::size_t> ids;
  for (std::size_t id = 0; id < model.pieces.size(); ++id)
    if (const auto [other, fresh] = ids.emplace(model.pieces[id].text, id); !fresh)
      throw Error("{}: the ids {} and {} are both {}", where, other->second, id, excerpt(model.pieces[id].text, 40));
}

}  // namespace moderngpt2::detail

namespace moderngpt2 {

MODERNGPT2_INLINE std::vector<std::string> sentencepiece_differences(const SentencePieceModel& model) {
  std::vector<std::string> list;
  if (model.has_character_map) list.push_back(fmt::format("the normalization {} is left out", model.normalization));
  if (model.add_dummy_prefix) list.push_back("no space is set before the text (add_dummy_prefix)");
  if (model.remove_extra_whitespaces) list.push_back("runs of spaces are kept (remove_extra_whitespaces)");
  if (!model.escape_whitespaces) list.push_back("spaces become space marks (escape_whitespaces is off)");
  if (model.treat_whitespace_as_suffix) list.push_back("words begin with their space (treat_whitespace_as_suffix)");
  bool unused = false, out_of_order = false;
  const float* previous = nullptr;
  for (const auto& piece : model.pieces) {
    unused |= piece.type == SentencePieceModel::Type::unused;
    if (piece.type != SentencePieceModel::Type::normal) continue;
    out_of_order |= previous && *previous <= piece.score;
    previous = &piece.score;
  }
  if (unused) list.push_back("unused pieces are never chosen on the way to longer ones");
  if (out_of_order && model.algorithm == SentencePieceModel::Algorithm::bpe)
    list.push_back("merges follow the order of the ids, and the scores have another order");
  return list;
}

MODERNGPT2_INLINE Json tokenizer_json(const SentencePieceModel& model, const std::string& where) {
  detail::check_exportable(model, where);
  Json json;
  json["version"] = "1.0";
  json["truncation"] = nullptr;
  json["padding"] = nullptr;
  json["added_tokens"] = detail::added_tokens_json(model);
  json["normalizer"] = detail::replace_json(" ", space_mark);
  json["pre_tokenizer"] = nullptr;
  json["post_processor"] = nullptr;
  Json byte_fallback, fuse;
  byte_fallback["type"] = "ByteFallback";
  fuse["type"] = "Fuse";
  json["decoder"]["type"] = "Sequence";
  json["decoder"]["decoders"] = Json::array({detail::replace_json(space_mark, " "), byte_fallback, fuse});
  json["model"] = model.algorithm == SentencePieceModel::Algorithm::bpe ? detail::bpe_model_json(model)
                                                                        : detail::unigram_model_json(model);
  return json;
}

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

MODERNGPT2_INLINE void write_tokenizer_files(const std::filesystem::path& folder, std::string_view model_bytes,
                                             const std::string& where, std::int64_t model_max_length) {
  const SentencePieceModel model = parse_sentencepiece_model(model_bytes, where);
  const Json json = tokenizer_json(model, where);
  (void)detail::TokenizerFileReader(where).read(json);  // throws if nothing would load it
  make_folder(folder);
  std::deque<AtomicFile> files;
  const auto add = [&](const char* name, std::string_view text) { files.emplace_back(folder / name).write(text); };
  const auto add_json = [&](const char* name, const Json& value) {
    add(name, json_text(value, (folder / name).string()));
  };
  add("tokenizer.model", model_bytes);
  add_json("tokenizer_config.json", tokenizer_config_json(model, model_max_length));
  add_json("special_tokens_map.json", special_tokens_json(model));
  add_json("tokenizer.json", json);
  for (AtomicFile& file : files) file.finish();
  for (AtomicFile& file : files) file.commit();
}

}  // namespace moderngpt2

#endif
