#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/tokenizer/utf8.hpp"

namespace moderngpt2 {

/// Fields of a SentencePiece .model file that are needed for a tokenizer.json. Defaults are those of
/// sentencepiece_model.proto, for which SentencePiece's packages have no header.
struct SentencePieceModel {
  enum class Type { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };
  enum class Algorithm { unigram = 1, bpe = 2, word = 3, character = 4 };
  struct Piece {
    std::string text;
    float score = 0;
    Type type = Type::normal;
  };

  std::vector<Piece> pieces;  ///< by id
  Algorithm algorithm = Algorithm::unigram;
  bool byte_fallback = false;
  bool treat_whitespace_as_suffix = false;
  std::string unk_piece = "<unk>", bos_piece = "<s>", eos_piece = "</s>", pad_piece = "<pad>";
  std::string character_map;  ///< precompiled_charsmap; empty: identity
  std::string normalization = "";
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  bool escape_whitespaces = true;
};

namespace detail {

/// Strict reader of one message in the protocol buffers wire format.
class ProtobufReader {
 public:
  ProtobufReader(std::string_view message, std::string where, std::size_t offset = 0)
      : message_(message), where_(std::move(where)), offset_(offset) {}

  /// Moves to the next field. Returns false at the end of the message.
  bool next() {
    if (at_ == message_.size()) return false;
    const std::uint64_t key = read_varint();
    field_ = key >> 3;
    wire_type_ = static_cast<int>(key & 7);
    if (field_ == 0 || field_ > 0x1FFFFFFF) fail("a field with the number {}", field_);
    switch (wire_type_) {
      case 0:
        varint_ = read_varint();
        break;
      case 1:
        bytes_ = take(8);
        break;
      case 2:
        bytes_ = take(read_varint());
        break;
      case 5:
        bytes_ = take(4);
        break;
      default:
        fail("a field of wire type {}", wire_type_);
    }
    return true;
  }

  std::uint64_t field() const { return field_; }
  std::uint64_t integer() const { return expect(0), varint_; }
  bool boolean() const { return integer() != 0; }
  std::string string() const { return std::string(bytes()); }
  std::string_view bytes() const { return expect(2), bytes_; }
  ProtobufReader message() const { return {bytes(), where_, offset_ + at_ - bytes_.size()}; }
  float number() const {
    expect(5);
    std::uint32_t bits = 0;
    for (std::size_t i = 4; i-- > 0;) bits = bits << 8 | static_cast<unsigned char>(bytes_[i]);
    return std::bit_cast<float>(bits);
  }

  template <class... Args>
  [[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) const {
    throw Error("{}: not a SentencePiece model: {} at byte {}", where_,
                fmt::format(format, std::forward<Args>(args)...), offset_ + at_);
  }

 private:
  void expect(int wire_type) const {
    if (wire_type_ != wire_type) fail("field {} has the wire type {} in place of {}", field_, wire_type_, wire_type);
  }
  std::uint64_t read_varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      if (at_ == message_.size()) fail("the message ends inside a number");
      const auto byte = static_cast<unsigned char>(message_[at_++]);
      value |= std::uint64_t{byte & 0x7Fu} << shift;
      if (byte < 0x80) return value;
    }
    fail("a number of more than 64 bits");
  }
  std::string_view take(std::uint64_t size) {
    if (size > message_.size() - at_) fail("the message ends inside field {}", field_);
    const auto bytes = message_.substr(at_, static_cast<std::size_t>(size));
    at_ += bytes.size();
    return bytes;
  }

  std::string_view message_;
  std::string where_;
  std::size_t offset_;  // offset of the message in the file
  std::size_t at_ = 0;
  std::uint64_t field_ = 0;
  int wire_type_ = 0;
  std::uint64_t varint_ = 0;
  std::string_view bytes_;
};

SentencePieceModel::Piece read_piece(ProtobufReader reader);

void read_trainer_spec(ProtobufReader reader, SentencePieceModel& model);

void read_normalizer_spec(ProtobufReader reader, SentencePieceModel& model);

}  // namespace detail

/// Parses a .model file. Errors begin with `where`.
SentencePieceModel parse_sentencepiece_model(std::string_view bytes, const std::string& where);

SentencePieceModel read_sentencepiece_model(const std::filesystem::path& path);

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

MODERNGPT2_INLINE SentencePieceModel::Piece read_piece(ProtobufReader reader) {
  SentencePieceModel::Piece piece;
  while (reader.next()) {
    if (reader.field() == 1) piece.text = reader.string();
    if (reader.field() == 2) piece.score = reader.number();
    if (reader.field() == 3) {
      if (reader.integer() < 1 || reader.integer() > 6) reader.fail("a piece of type {}", reader.integer());
      piece.type = static_cast<SentencePieceModel::Type>(reader.integer());
    }
  }
  if (piece.text.empty() || valid_utf8_prefix(piece.text) != piece.text.size())
    reader.fail("a piece that is empty or not UTF-8");
  if (!std::isfinite(piece.score)) reader.fail("the score {} of the piece {}", piece.score, excerpt(piece.text, 40));
  return piece;
}

MODERNGPT2_INLINE void read_trainer_spec(ProtobufReader reader, SentencePieceModel& model) {
  while (reader.next()) {
    switch (reader.field()) {
      case 3:
        if (reader.integer() < 1 || reader.integer() > 4) reader.fail("the model type {}", reader.integer());
        model.algorithm = static_cast<SentencePieceModel::Algorithm>(reader.integer());
        break;
      case 24:
        model.treat_whitespace_as_suffix = reader.boolean();
        break;
      case 35:
        model.byte_fallback = reader.boolean();
        break;
      case 45:
        model.unk_piece = reader.string();
        break;
      case 46:
        model.bos_piece = reader.string();
        break;
      case 47:
        model.eos_piece = reader.string();
        break;
      case 48:
        model.pad_piece = reader.string();
        break;
      default:
        break;
    }
  }
}

MODERNGPT2_INLINE void read_normalizer_spec(ProtobufReader reader, SentencePieceModel& model) {
  while (reader.next()) {
    switch (reader.field()) {
      case 1:
        model.normalization = reader.string();
        break;
      case 2:
        model.character_map = reader.string();
        break;
      case 3:
        model.add_dummy_prefix = reader.boolean();
        break;
      case 4:
        model.remove_extra_whitespaces = reader.boolean();
        break;
      case 5:
        model.escape_whitespaces = reader.boolean();
        break;
      default:
        break;
    }
  }
}

}  // namespace moderngpt2::detail

namespace moderngpt2 {

MODERNGPT2_INLINE SentencePieceModel parse_sentencepiece_model(std::string_view bytes, const std::string& where) {
  SentencePieceModel model;
  detail::ProtobufReader reader(bytes, where);
  while (reader.next()) {
    if (reader.field() == 1) model.pieces.push_back(detail::read_piece(reader.message()));
    if (reader.field() == 2) detail::read_trainer_spec(reader.message(), model);
    if (reader.field() == 3) detail::read_normalizer_spec(reader.message(), model);
  }
  if (model.pieces.empty()) throw Error("{}: not a SentencePiece model: it has no pieces", where);
  return model;
}

MODERNGPT2_INLINE SentencePieceModel read_sentencepiece_model(const std::filesystem::path& path) {
  return parse_sentencepiece_model(read_file(path), path.string());
}

}  // namespace moderngpt2

#endif
