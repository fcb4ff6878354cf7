#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#if !__has_include(<sentencepiece_processor.h>)
#error \
    "moderngpt2: <sentencepiece_processor.h> not found: link moderngpt2::tokenizer_training, a component of moderngpt2"
#endif
#include <sentencepiece_processor.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/tokenizer/sentencepiece_model.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"

namespace moderngpt2 {

/// Result of compare_with_sentencepiece().
struct SentencePieceComparison {
  std::size_t texts = 0, different = 0;
  std::string example;  ///< first text with different ids
};

namespace detail {

/// Texts in several scripts with white space, control characters and bytes, and texts made of the model's pieces.
inline std::vector<std::string> comparison_texts(const SentencePieceModel& model) {
  std::vector<std::string> texts{"The quick brown fox jumps over the lazy dog.",
                                 "  two  spaces   three ",
                                 "",
                                 " ",
                                 "\t\n\r\n",
                                 "a\u2581b \u2581",
                                 "1234567890 3.14 -7",
                                 "日本語のテキスト、漢字とかな。",
                                 "한국어 텍스트입니다.",
                                 "中文文本，标点。",
                                 "été naïve Zürich",
                                 "e\u0301 \u1100\u1161",
                                 "😀 👩‍👩‍👧 \U0001F1EF\U0001F1F5",
                                 "العربية עברית",
                                 "<0x41> <s> </s>",
                                 "aaaaaaaaaaaaaaaaaaaaaaaa",
                                 "x1。 foo bar",
                                 "\u00a0\u3000\u200b\ufeff"};
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

}  // namespace detail

/// Compares the ids of `tokenizer` with those of SentencePiece's own library for the model, on sample texts and on
/// texts made of its pieces. Special tokens in the text are ordinary text, as in SentencePiece. May take several
/// seconds.
inline SentencePieceComparison compare_with_sentencepiece(const Tokenizer& tokenizer, std::string_view model_bytes,
                                                          const SentencePieceModel& model) {
  sentencepiece::SentencePieceProcessor processor;
  if (const auto status = processor.LoadFromSerializedProto(model_bytes); !status.ok())
    throw Error("SentencePiece does not load the model: {}", status.ToString());
  SentencePieceComparison result;
  for (const std::string& text : detail::comparison_texts(model)) {
    ++result.texts;
    if (tokenizer.encode(text, true) == processor.EncodeAsIds(text)) continue;
    if (++result.different == 1) result.example = text;
  }
  return result;
}

}  // namespace moderngpt2
