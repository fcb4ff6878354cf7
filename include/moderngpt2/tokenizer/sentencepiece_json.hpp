#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/tokenizer/added_tokens.hpp"
#include "moderngpt2/tokenizer/base64.hpp"
#include "moderngpt2/tokenizer/byte_trie.hpp"
#include "moderngpt2/tokenizer/sentencepiece_model.hpp"
#include "moderngpt2/tokenizer/utf8.hpp"

namespace moderngpt2 {

namespace detail {

/// Merges of a SentencePiece BPE model as pairs of texts: every split of a normal piece into two normal pieces, found
/// in time linear in the pieces' lengths. These are the merges that SentencePiece can make: it looks up the
/// concatenated text of neighbours, and never merges control, user-defined or byte pieces. Ordered by (score of the
/// result, highest first; its id; length of the left part): SentencePiece merges the pair with the highest score first.
Json bpe_merges(const SentencePieceModel& model);

std::optional<int> find_piece(const SentencePieceModel& model, SentencePieceModel::Type type, const std::string& text);

Json bpe_model_json(const SentencePieceModel& model);

/// Unigram model of a tokenizer.json. `tokenizers` matches every piece in the text, SentencePiece only normal and
/// user-defined ones. Byte, control, unused and unknown pieces therefore get a score below any sum over their
/// characters, so that text such as "<0x41>" stays text unless one of its characters has no piece.
Json unigram_model_json(const SentencePieceModel& model);

/// Whether a piece can never match: a user-defined piece with a space. SentencePiece replaces spaces in the text by
/// space marks, and not those in the pieces.
bool never_matches(const SentencePieceModel& model, const SentencePieceModel::Piece& piece);

/// added_tokens of a tokenizer.json. Special tokens are pieces without text (unknown, control). User-defined pieces
/// match the normalized text, as in SentencePiece: spaces are already space marks, and the longest match at a position
/// wins.
Json added_tokens_json(const SentencePieceModel& model);

/// Normalizer or decoder that replaces `from`: a text, or with `kind` "Regex" an expression.
Json replace_json(std::string_view from, std::string_view to, const char* kind = "String");

/// Normalizer of a tokenizer.json: the model's normalization, removal of extra spaces, the space before the text, and
/// space marks for spaces. `tokenizers` also normalizes the user-defined pieces themselves; the space is therefore set
/// by an expression that excludes them if there are any.
Json normalizer_json(const SentencePieceModel& model);

Json decoder_json(const SentencePieceModel& model);

void check_exportable(const SentencePieceModel& model, const std::string& where);

}  // namespace detail

/// Properties of a model that a tokenizer.json cannot express, so that ids of some texts may differ from
/// SentencePiece's. compare_with_sentencepiece() finds out whether they do. If there are none, the ids of text without
/// special tokens are equal (unigram: except for ties within rounding): SentencePiece reads a special token in the
/// text, such as "</s>", as ordinary text.
std::vector<std::string> sentencepiece_differences(const SentencePieceModel& model);

/// tokenizer.json of a BPE or unigram model, without pre-tokenizer and post-processor. Unknown, control and
/// user-defined pieces become added tokens. Throws Error that begins with `where` for other model types.
Json tokenizer_json(const SentencePieceModel& model, const std::string& where);

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

MODERNGPT2_INLINE Json bpe_merges(const SentencePieceModel& model) {
  using Type = SentencePieceModel::Type;
  const auto reversed = [](const std::string& text) { return std::string(text.rbegin(), text.rend()); };
  ByteTrie pieces, backward;
  std::vector<const SentencePieceModel::Piece*> results;
  for (const auto& piece : model.pieces) {
    if (piece.type != Type::normal) continue;
    results.push_back(&piece);
    pieces.insert(piece.text, 0);
    backward.insert(reversed(piece.text), 0);
  }
  std::stable_sort(results.begin(), results.end(), [](const auto* a, const auto* b) { return a->score > b->score; });
  Json merges = Json::array();
  std::vector<std::size_t> ends, begins;  // cuts after a piece, and before a piece
  for (const SentencePieceModel::Piece* const piece : results) {
    const std::string_view text = piece->text;
    ends.clear(), begins.clear();
    pieces.for_each_prefix(text, [&](std::size_t length, int) { ends.push_back(length); });
    backward.for_each_prefix(reversed(piece->text),
                             [&](std::size_t length, int) { begins.push_back(text.size() - length); });
    std::reverse(begins.begin(), begins.end());
    std::vector<std::size_t> cuts;
    std::set_intersection(ends.begin(), ends.end(), begins.begin(), begins.end(), std::back_inserter(cuts));
    for (const std::size_t cut : cuts) merges.push_back(Json::array({text.substr(0, cut), text.substr(cut)}));
  }
  return merges;
}

MODERNGPT2_INLINE bool never_matches(const SentencePieceModel& model, const SentencePieceModel::Piece& piece) {
  return piece.type == SentencePieceModel::Type::user_defined && model.escape_whitespaces &&
         piece.text.find(' ') != std::string::npos;
}

MODERNGPT2_INLINE std::optional<int> find_piece(const SentencePieceModel& model, SentencePieceModel::Type type,
                                                const std::string& text) {
  for (std::size_t id = 0; id < model.pieces.size(); ++id)
    if (model.pieces[id].type == type && model.pieces[id].text == text) return static_cast<int>(id);
  return std::nullopt;
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
    if (never_matches(model, piece)) continue;
    const bool is_user_defined = piece.type == Type::user_defined;
    list.push_back(added_token_json({.id = static_cast<int>(id),
                                     .content = piece.text,
                                     .normalized = is_user_defined,
                                     .special = !is_user_defined}));
  }
  return list;
}

MODERNGPT2_INLINE Json replace_json(std::string_view from, std::string_view to, const char* kind) {
  Json json;
  json["type"] = "Replace";
  json["pattern"][kind] = from;
  json["content"] = to;
  return json;
}

MODERNGPT2_INLINE Json normalizer_json(const SentencePieceModel& model) {
  using Type = SentencePieceModel::Type;
  const std::string_view space = model.escape_whitespaces ? space_mark : std::string_view(" ");
  Json steps = Json::array();
  if (!model.character_map.empty()) {
    Json map;
    map["type"] = "Precompiled";
    map["precompiled_charsmap"] = encode_base64(model.character_map);
    steps.push_back(std::move(map));
  }
  if (model.remove_extra_whitespaces) {
    // SentencePiece removes space marks at the end, too: it has replaced the spaces before.
    const std::string_view ends = model.escape_whitespaces ? "(?<![ \u2581])[ \u2581]++\\z" : "(?<! ) ++\\z";
    steps.push_back(replace_json("\\A +", "", "Regex"));
    steps.push_back(replace_json(ends, "", "Regex"));
    steps.push_back(replace_json(" {2,}", " ", "Regex"));
  }
  if (model.add_dummy_prefix && !model.treat_whitespace_as_suffix) {
    std::string user_defined;
    for (const auto& piece : model.pieces) {
      if (piece.type != Type::user_defined || never_matches(model, piece)) continue;
      user_defined += user_defined.empty() ? "" : "|";
      for (const char c : piece.text) {
        if (std::string_view("\\^$.|?*+()[]{}-#/ \t\n\r\f\v").find(c) != std::string_view::npos) user_defined += '\\';
        user_defined += c;
      }
    }
    if (user_defined.empty()) {
      Json prepend;
      prepend["type"] = "Prepend";
      prepend["prepend"] = space;
      steps.push_back(std::move(prepend));
    } else {
      steps.push_back(replace_json("\\A(?!(?:" + user_defined + ")\\z)", space, "Regex"));
    }
  }
  if (model.escape_whitespaces) steps.push_back(replace_json(" ", space_mark));
  if (steps.empty()) return nullptr;
  if (steps.size() == 1) return steps.front();
  Json json;
  json["type"] = "Sequence";
  json["normalizers"] = std::move(steps);
  return json;
}

MODERNGPT2_INLINE Json decoder_json(const SentencePieceModel& model) {
  Json byte_fallback, fuse, json;
  byte_fallback["type"] = "ByteFallback";
  fuse["type"] = "Fuse";
  json["type"] = "Sequence";
  json["decoders"] = Json::array({replace_json(space_mark, " "), byte_fallback, fuse});
  if (model.add_dummy_prefix && !model.treat_whitespace_as_suffix) {
    Json strip;
    strip["type"] = "Strip";
    strip["content"] = " ";
    strip["start"] = 1;
    strip["stop"] = 0;
    json["decoders"].push_back(std::move(strip));
  }
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
  using Type = SentencePieceModel::Type;
  std::vector<std::string> list;
  const bool is_bpe = model.algorithm == SentencePieceModel::Algorithm::bpe;
  if (!model.character_map.empty())
    list.push_back(
        fmt::format("the normalization {} is applied to whole grapheme clusters, such as a letter with a "
                    "combining mark, CR LF or a joined emoji",
                    model.normalization.empty() ? "of the model" : model.normalization));
  if (model.treat_whitespace_as_suffix && model.add_dummy_prefix)
    list.push_back("no space is set after the text (treat_whitespace_as_suffix)");
  const auto has = [&](Type type) {
    return std::any_of(model.pieces.begin(), model.pieces.end(), [&](const auto& piece) { return piece.type == type; });
  };
  if (is_bpe && has(Type::unused)) list.push_back("unused pieces are never chosen on the way to longer ones");
  const bool changes_pieces = !model.character_map.empty() || model.remove_extra_whitespaces;
  if (changes_pieces && has(Type::user_defined))
    list.push_back("user-defined pieces are found after the normalization, not before it");
  return list;
}

MODERNGPT2_INLINE Json tokenizer_json(const SentencePieceModel& model, const std::string& where) {
  detail::check_exportable(model, where);
  Json json;
  json["version"] = "1.0";
  json["truncation"] = nullptr;
  json["padding"] = nullptr;
  json["added_tokens"] = detail::added_tokens_json(model);
  json["normalizer"] = detail::normalizer_json(model);
  json["pre_tokenizer"] = nullptr;
  json["post_processor"] = nullptr;
  json["decoder"] = detail::decoder_json(model);
  json["model"] = model.algorithm == SentencePieceModel::Algorithm::bpe ? detail::bpe_model_json(model)
                                                                        : detail::unigram_model_json(model);
  return json;
}

}  // namespace moderngpt2

#endif
