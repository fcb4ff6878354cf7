#pragma once

#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#if !__has_include(<sentencepiece_processor.h>)
#error \
    "moderngpt2: <sentencepiece_processor.h> not found: link moderngpt2::tokenizer_training, a component of moderngpt2"
#endif
#include <sentencepiece_processor.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/tokenizer/comparison_texts.hpp"
#include "moderngpt2/tokenizer/sentencepiece_model.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"

namespace moderngpt2 {

namespace detail {

/// Texts for the comparison: stress texts, and texts made of the model's pieces.
inline std::vector<std::string> comparison_texts(const SentencePieceModel& model) {
  std::vector<std::string> texts = stress_texts();
  constexpr std::size_t most_pieces = 20'000, longest_piece = 1000;
  const std::size_t stride = model.pieces.size() / most_pieces + 1;
  std::string before;
  for (std::size_t id = 0; id < model.pieces.size(); id += stride) {
    const SentencePieceModel::Piece& piece = model.pieces[id];
    using Type = SentencePieceModel::Type;
    if (piece.text.size() > longest_piece || (piece.type != Type::normal && piece.type != Type::user_defined)) continue;
    std::string text;
    std::string_view rest = piece.text;
    for (std::size_t mark; (mark = rest.find(space_mark)) != rest.npos; rest.remove_prefix(mark + space_mark.size()))
      text += std::string(rest.substr(0, mark)) + " ";
    text += rest;
    texts.push_back(before + text);  // also what the model makes of the two pieces' border
    if (piece.type == Type::user_defined) texts.push_back("a " + text + text + "b");
    before = text;
  }
  return texts;
}

/// Whether two encodings of a text by a unigram model have the same score within rounding: SentencePiece adds scores as
/// floats, `tokenizers` as doubles.
inline bool is_tie(const SentencePieceModel& model, const std::vector<int>& a, const std::vector<int>& b) {
  constexpr double rounding = 1e-3;
  if (model.algorithm != SentencePieceModel::Algorithm::unigram) return false;
  struct Sum {
    double score = 0;
    std::size_t others = 0;  // unknown characters and bytes
  };
  const auto sum_of = [&](const std::vector<int>& ids) {
    Sum sum;
    for (const int id : ids) {
      const SentencePieceModel::Piece& piece = model.pieces.at(static_cast<std::size_t>(id));
      if (piece.type == SentencePieceModel::Type::normal)
        sum.score += static_cast<double>(piece.score);
      else
        ++sum.others;
    }
    return sum;
  };
  const Sum first = sum_of(a), second = sum_of(b);
  return first.others == second.others && std::abs(first.score - second.score) <= rounding;
}

}  // namespace detail

/// Compares the ids of `tokenizer` with those of SentencePiece's own library for the model, on sample texts and on
/// texts made of its pieces. Special tokens in the text are ordinary text, as in SentencePiece. Leaves out texts that
/// are a single user-defined piece, which a tokenizer.json cannot begin with a space (see normalizer_json()). May take
/// several seconds.
inline TokenizerComparison compare_with_sentencepiece(const Tokenizer& tokenizer, std::string_view model_bytes,
                                                      const SentencePieceModel& model) {
  sentencepiece::SentencePieceProcessor processor;
  if (const auto status = processor.LoadFromSerializedProto(model_bytes); !status.ok())
    throw Error("SentencePiece does not load the model: {}", status.ToString());
  TokenizerComparison result;
  std::unordered_set<std::string_view> left_out;
  for (const SentencePieceModel::Piece& piece : model.pieces)
    if (model.add_dummy_prefix && piece.type == SentencePieceModel::Type::user_defined) left_out.insert(piece.text);
  for (const std::string& text : detail::comparison_texts(model)) {
    if (left_out.contains(text)) continue;
    ++result.texts;
    const std::vector<int> ids = tokenizer.encode(text, true), expected = processor.EncodeAsIds(text);
    if (ids == expected) continue;
    if (detail::is_tie(model, ids, expected)) {
      ++result.ties;
      continue;
    }
    if (++result.different == 1) result.example = text;
  }
  return result;
}

}  // namespace moderngpt2
