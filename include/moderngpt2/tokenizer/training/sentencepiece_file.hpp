#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "moderngpt2/tokenizer/sentencepiece_model.hpp"

namespace moderngpt2::detail {

/// Writer of one message in the protocol buffers wire format.
class ProtobufWriter {
 public:
  void integer(std::uint64_t field, std::uint64_t value) {
    varint(field << 3);
    varint(value);
  }
  void number(std::uint64_t field, float value) {
    varint(field << 3 | 5);
    const auto bits = std::bit_cast<std::uint32_t>(value);
    for (unsigned shift = 0; shift < 32; shift += 8) bytes_ += static_cast<char>(bits >> shift & 0xFF);
  }
  void string(std::uint64_t field, std::string_view value) {
    varint(field << 3 | 2);
    varint(value.size());
    bytes_ += value;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>((value & 0x7F) | 0x80);
    bytes_ += static_cast<char>(value);
  }
  std::string bytes_;
};

/// Settings of a trained BPE model that its file records.
struct SentencePieceFileSettings {
  int vocab_size = 0;
  double character_coverage = 0;
  int max_sentence_length = 0;
  std::vector<std::string> control_symbols;
};

/// Bytes of a .model file as SentencePiece's trainer writes them (sentencepiece_model.proto) for a BPE model with byte
/// fallback, identity normalization, <pad>, <unk> and <|endoftext|>. num_threads is left out, so that the bytes do not
/// depend on it.
inline std::string sentencepiece_file(const std::vector<SentencePieceModel::Piece>& pieces,
                                      const SentencePieceFileSettings& settings) {
  ProtobufWriter model;
  for (const SentencePieceModel::Piece& piece : pieces) {
    ProtobufWriter message;
    message.string(1, piece.text);
    message.number(2, piece.score);
    if (piece.type != SentencePieceModel::Type::normal) message.integer(3, static_cast<std::uint64_t>(piece.type));
    model.string(1, message.bytes());
  }
  const auto integer = [](int value) { return static_cast<std::uint64_t>(static_cast<std::int64_t>(value)); };
  ProtobufWriter trainer;
  trainer.integer(3, 2);  // model_type: BPE
  trainer.integer(4, integer(settings.vocab_size));
  trainer.number(10, static_cast<float>(settings.character_coverage));
  trainer.integer(18, integer(settings.max_sentence_length));
  for (const std::string& symbol : settings.control_symbols) trainer.string(30, symbol);
  trainer.integer(35, 1);  // byte_fallback
  trainer.integer(40, 1);  // unk_id
  trainer.integer(41, integer(-1));
  trainer.integer(42, 2);
  trainer.integer(43, 0);
  trainer.string(45, "<unk>");
  trainer.string(47, "<|endoftext|>");
  trainer.string(48, "<pad>");
  trainer.integer(49, 0);  // train_extremely_large_corpus
  model.string(2, trainer.bytes());
  ProtobufWriter normalizer;
  normalizer.string(1, "identity");
  normalizer.string(2, "");  // precompiled_charsmap
  normalizer.integer(3, 0);  // add_dummy_prefix
  normalizer.integer(4, 0);  // remove_extra_whitespaces
  model.string(3, normalizer.bytes());
  return model.bytes();
}

}  // namespace moderngpt2::detail
