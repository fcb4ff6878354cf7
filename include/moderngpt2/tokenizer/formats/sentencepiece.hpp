#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#if !__has_include(<sentencepiece_processor.h>)
#error \
    "moderngpt2: <sentencepiece_processor.h> not found: link moderngpt2::tokenizer_training, a component of moderngpt2"
#endif
#include <sentencepiece_processor.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/tokenizer/decoder.hpp"
#include "moderngpt2/tokenizer/formats/read_tokenizer.hpp"
#include "moderngpt2/tokenizer/sentencepiece_model.hpp"

// Include this header in a program to let Tokenizer::load() read SentencePiece models (tokenizer.model). Ids and texts
// are those of the installed version of the library. Control tokens in a text become their ids, as with other
// tokenizers, unless split_special_tokens is set.
namespace moderngpt2::detail {

/// SentencePiece model with the library's own encoder and decoder.
class SentencePieceEngine : public TextEngine {
 public:
  SentencePieceEngine(std::string_view bytes, const SentencePieceModel& model, const std::string& where);

  void encode(std::string_view text, std::vector<int>& ids, const EncodeOptions& options) const override;
  std::string decode(std::span<const int> ids) const override;
  std::string token_text(int id) const override;

 private:
  sentencepiece::SentencePieceProcessor processor_;
  AddedTokenMatcher special_;  // control tokens, which the library itself never finds in a text
};

inline SentencePieceEngine::SentencePieceEngine(std::string_view bytes, const SentencePieceModel& model,
                                                const std::string& where) {
  if (const auto status = processor_.LoadFromSerializedProto(bytes); !status.ok())
    throw Error("{}: SentencePiece does not load the model: {}", where, excerpt(status.ToString(), 200));
  for (std::size_t id = 0; id < model.pieces.size(); ++id) {
    if (model.pieces[id].type != SentencePieceModel::Type::control) continue;
    AddedToken token;
    token.id = static_cast<int>(id);
    token.content = model.pieces[id].text;
    token.special = true;
    special_.add(token, token.content);
  }
}

inline void SentencePieceEngine::encode(std::string_view text, std::vector<int>& ids,
                                        const EncodeOptions& options) const {
  if (options.bpe_dropout > 0)
    throw Error(
        "bpe_dropout is {}, but a tokenizer.model is encoded by the SentencePiece library: convert it with "
        "convert_tokenizer, or set it to 0",
        options.bpe_dropout);
  const auto on_text = [&](std::string_view piece) {
    std::vector<int> found;
    if (const auto status = processor_.Encode(piece, &found); !status.ok())
      throw Error("SentencePiece does not encode a text of {} bytes: {}", piece.size(),
                  excerpt(status.ToString(), 200));
    ids.insert(ids.end(), found.begin(), found.end());
  };
  if (text.empty()) return;
  if (options.split_special_tokens) return on_text(text);
  special_.split(text, false, on_text, [&](int id) { ids.push_back(id); });
}

inline std::string SentencePieceEngine::decode(std::span<const int> ids) const {
  std::string text;
  if (const auto status = processor_.Decode(std::vector<int>(ids.begin(), ids.end()), &text); !status.ok())
    throw Error("SentencePiece does not decode {} ids: {}", ids.size(), excerpt(status.ToString(), 200));
  return text;
}

inline std::string SentencePieceEngine::token_text(int id) const {
  const std::string piece = processor_.IdToPiece(id);
  std::string text;
  if (processor_.IsByte(id))
    text.push_back(static_cast<char>(byte_of_token(piece)));
  else
    append_token_text(piece, text);
  return text;
}

/// Reads a SentencePiece model of any kind.
inline LoadedTokenizer read_sentencepiece(std::string_view bytes, const std::string& where) {
  using Type = SentencePieceModel::Type;
  const SentencePieceModel model = parse_sentencepiece_model(bytes, where);
  LoadedTokenizer result;
  result.engine = std::make_shared<SentencePieceEngine>(bytes, model, where);
  result.roles = {model.bos_piece, model.eos_piece, model.pad_piece};
  TokenizerFile& file = result.file;
  file.where = where;
  file.model.kind = ModelFile::Kind::unigram;
  for (std::size_t id = 0; id < model.pieces.size(); ++id) {
    const SentencePieceModel::Piece& piece = model.pieces[id];
    file.model.add(piece.text, static_cast<std::int64_t>(id), model.pieces.size(), where);
    if (piece.type == Type::unknown) file.model.options.unk_id = static_cast<int>(id);
    if (piece.type != Type::control && piece.type != Type::unknown) continue;
    AddedToken token;
    token.id = static_cast<int>(id);
    token.content = piece.text;
    token.special = true;
    file.added_tokens.push_back(std::move(token));
  }
  return result;
}

/// Registers the reader with Tokenizer::load() when the program starts.
inline const bool has_sentencepiece_reader = [] {
  sentencepiece_reader.store(&read_sentencepiece);
  return true;
}();

}  // namespace moderngpt2::detail
