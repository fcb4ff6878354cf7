#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/tokenizer/models/bpe_merges.hpp"
#include "moderngpt2/tokenizer/models/bpe_search.hpp"
#include "moderngpt2/tokenizer/models/character_borders.hpp"
#include "moderngpt2/tokenizer/models/id_writer.hpp"
#include "moderngpt2/tokenizer/models/merge_dropout.hpp"
#include "moderngpt2/tokenizer/models/token_ids.hpp"
#include "moderngpt2/tokenizer/models/word_cache.hpp"

namespace moderngpt2::detail {

/// Settings of a ByteBpeModel.
struct ByteBpeOptions {
  bool ignore_merges = false;  ///< a piece that is a token of the vocabulary is not merged
  int unk_id = -1;             ///< for a byte without a token; -1: drop it
  bool fuse_unk = false;       ///< one unk for each run of unknown bytes
  bool searches = true;        ///< use a BpeSearch if the merges allow it
  std::size_t window = 4096;   ///< maximum bytes merged at once in a long piece
};

/// Byte pair encoding that starts from bytes (Radford et al. 2019), for pieces of text that a pre-tokenizer has split.
/// Results are those of Hugging Face `tokenizers` with a ByteLevel pre-tokenizer, and of tiktoken if a merge has the
/// rank of its result.
class ByteBpeModel {
 public:
  /// `token_bytes[id]` are the bytes of each id (empty: none, or not made of bytes). A merge's result has the bytes of
  /// both sides.
  ByteBpeModel(std::span<const std::string> token_bytes, std::span<const BpeMerge> merges,
               const ByteBpeOptions& options);

  /// Appends the ids of `piece`, which may be any bytes.
  void encode(std::string_view piece, std::vector<int>& ids) const {
    if (!piece.empty()) encode(Pieces{{&piece, 1}, piece.data() + piece.size()}, ids);
  }

  /// Appends the ids of pieces.
  void encode(const Pieces& text, std::vector<int>& ids) const;

  /// Appends ids of `piece` as with BPE-dropout, see merge_with_dropout(). A piece of more than 2^20 bytes is merged in
  /// parts of that size.
  void encode_with_dropout(std::string_view piece, std::vector<int>& ids, double dropout, Rng& random) const;

  /// Whether pieces are searched, not merged (see BpeSearch).
  bool searches() const { return search_.has_value(); }

 private:
  static std::array<int, 256> single_bytes(std::span<const std::string> token_bytes);
  static std::vector<int> first_bytes(std::span<const std::string> token_bytes);

  /// Part of the text to be encoded by itself: a piece, or a segment of one between borders that no merge can cross.
  struct Unit {
    const char* begin;
    std::size_t size;
    CharacterBorders::Entry character;  // with ids: the unit is this character
    bool is_piece;
    std::string_view text() const { return {begin, size}; }
  };
  class Units;

  /// Whether a piece is to be cut in segments: it begins like Chinese, Japanese or Korean, or is too long for the
  /// cache.
  bool is_for_segments(std::string_view piece) const;

  void append_symbols(std::string_view piece, std::vector<int>& symbols) const;

  /// Merges a piece or segment.
  void compute(std::string_view piece, std::vector<int>& ids) const;

  void compute_long(std::string_view piece, std::vector<int>& ids) const;

  std::array<int, 256> byte_ids_;
  bool all_bytes_;  // each byte has a token
  BpeMerges merges_;
  std::optional<BpeSearch> search_;  // if the merges allow it
  CharacterBorders borders_;         // empty: pieces are not cut
  TokenIds whole_;                   // with ignore_merges: tokens that merges do not make of their bytes
  ByteBpeOptions options_;
  WordCache pieces_, segments_;
};

}  // namespace moderngpt2::detail

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

MODERNGPT2_INLINE ByteBpeModel::ByteBpeModel(std::span<const std::string> token_bytes, std::span<const BpeMerge> merges,
                                             const ByteBpeOptions& options)
    : byte_ids_(single_bytes(token_bytes)),
      all_bytes_(std::find(byte_ids_.begin(), byte_ids_.end(), -1) == byte_ids_.end()),
      merges_(merges, first_bytes(token_bytes)),
      options_(options) {
  if (all_bytes_ && options.searches) search_ = BpeSearch::make(token_bytes, merges, byte_ids_, merges_);
  if (options.ignore_merges) whole_ = search_ ? search_->unmade_tokens(token_bytes) : TokenIds(token_bytes);
  if (all_bytes_ && token_bytes.size() < std::size_t{1} << CharacterBorders::id_bits) {
    borders_ = CharacterBorders(token_bytes, merges);
    borders_.set_ids([this](std::string_view bytes, std::vector<int>& ids) { compute(bytes, ids); });
  }
}

MODERNGPT2_INLINE std::array<int, 256> ByteBpeModel::single_bytes(std::span<const std::string> token_bytes) {
  std::array<int, 256> ids;
  ids.fill(-1);
  for (std::size_t id = 0; id < token_bytes.size(); ++id)
    if (token_bytes[id].size() == 1) ids[static_cast<unsigned char>(token_bytes[id][0])] = static_cast<int>(id);
  return ids;
}

MODERNGPT2_INLINE std::vector<int> ByteBpeModel::first_bytes(std::span<const std::string> token_bytes) {
  const std::array<int, 256> byte_ids = single_bytes(token_bytes);
  std::vector<int> ids;
  for (const std::string& token : token_bytes)
    ids.push_back(token.empty() ? -1 : byte_ids[static_cast<unsigned char>(token[0])]);
  return ids;
}

/// Collects units and encodes them together, so that waiting for the memory of the cache overlaps.
class ByteBpeModel::Units {
 public:
  Units(const ByteBpeModel& model, const char* text_end, std::vector<int>& ids)
      : model_(model), text_end_(text_end), out_(ids) {}

  void add_piece(std::string_view piece) { add(piece, CharacterBorders::Entry(), true); }

  void add_segments(std::string_view piece) {
    const CharacterBorders& borders = model_.borders_;
    std::size_t begin = 0, at = 0;
    CharacterBorders::Step left = CharacterBorders::step(piece);
    while (true) {
      at += left.length;
      const CharacterBorders::Step right = at < piece.size() ? CharacterBorders::step(piece.substr(at)) : left;
      if (at == piece.size() || borders.is_cut(left.character, right.character)) {
        const bool one = at - begin == left.length;
        add(piece.substr(begin, at - begin), one ? borders[left.character] : CharacterBorders::Entry(), false);
        begin = at;
        if (at == piece.size()) return;
      }
      left = right;
    }
  }

  void finish() {
    run();
    out_.flush();
  }

 private:
  void add(std::string_view text, CharacterBorders::Entry character, bool is_piece) {
    units_[count_++] = {text.data(), text.size(), character, is_piece};
    if (count_ == units_.size()) run();
  }

  void run() {
    SegmentCache& cache = SegmentCache::of_this_thread();
    for (std::size_t i = 0; i < count_; ++i) {
      const Unit& unit = units_[i];
      if (unit.character.count() == 0 && cache_of(unit).takes(unit.text()))
        slots_[i] = cache_of(unit).slot(unit.text(), text_end_, cache);
    }
    for (std::size_t i = 0; i < count_; ++i) {
      const Unit& unit = units_[i];
      if (const std::size_t count = unit.character.count(); count > 0) {
        const int ids[] = {unit.character.id(0), unit.character.id(1), unit.character.id(2)};
        out_.add(ids, count);
        continue;
      }
      cache_of(unit).add(unit.text(), slots_[i], cache, out_, [&](std::vector<int>& ids) {
        const int whole = unit.is_piece ? model_.whole_.find(unit.text()) : -1;
        if (whole >= 0) return ids.push_back(whole);
        model_.compute(unit.text(), ids);
      });
    }
    count_ = 0;
  }

  const WordCache& cache_of(const Unit& unit) const { return unit.is_piece ? model_.pieces_ : model_.segments_; }

  const ByteBpeModel& model_;
  const char* text_end_;
  IdWriter out_;
  std::size_t count_ = 0;
  std::array<Unit, Pieces::most> units_;
  std::array<SegmentCache::Slot, Pieces::most> slots_;
};

MODERNGPT2_INLINE void ByteBpeModel::encode(const Pieces& text, std::vector<int>& ids) const {
  Units units(*this, text.text_end, ids);
  for (const std::string_view piece : text.pieces) {
    if (is_for_segments(piece) && whole_.find(piece) < 0)
      units.add_segments(piece);
    else
      units.add_piece(piece);
  }
  units.finish();
}

MODERNGPT2_INLINE bool ByteBpeModel::is_for_segments(std::string_view piece) const {
  if (borders_.empty()) return false;
  const auto second = static_cast<unsigned char>(piece[piece.size() > 1 ? 1 : 0]);
  const auto first = static_cast<unsigned char>(piece[0]);
  return first >= 0xE3 || (first < 0x80 && second >= 0xE3) || piece.size() > SegmentCache::longest_segment;
}

MODERNGPT2_INLINE void ByteBpeModel::encode_with_dropout(std::string_view piece, std::vector<int>& ids, double dropout,
                                                         Rng& random) const {
  if (dropout <= 0) return encode(piece, ids);
  std::vector<int> symbols;
  while (!piece.empty()) {
    const std::string_view part = piece.substr(0, dropout_part);
    symbols.clear();
    append_symbols(part, symbols);
    const std::size_t count = merge_with_dropout(merges_, symbols, dropout, random);
    ids.insert(ids.end(), symbols.begin(), symbols.begin() + static_cast<std::ptrdiff_t>(count));
    piece.remove_prefix(part.size());
  }
}

MODERNGPT2_INLINE void ByteBpeModel::append_symbols(std::string_view piece, std::vector<int>& symbols) const {
  bool run_of_unk = false;
  for (const char c : piece) {
    const int id = byte_ids_[static_cast<unsigned char>(c)];
    if (id >= 0) {
      symbols.push_back(id);
    } else if (options_.unk_id >= 0 && !(run_of_unk && options_.fuse_unk)) {
      symbols.push_back(options_.unk_id);
    }
    run_of_unk = id < 0;
  }
}

MODERNGPT2_INLINE void ByteBpeModel::compute(std::string_view piece, std::vector<int>& ids) const {
  if (search_) return search_->encode(piece, ids, byte_ids_, merges_);
  if (piece.size() > BpeMerges::few) return compute_long(piece, ids);
  thread_local std::vector<int> symbols;
  symbols.clear();
  append_symbols(piece, symbols);
  merges_.merge_all(symbols, ids);
}

MODERNGPT2_INLINE void ByteBpeModel::compute_long(std::string_view piece, std::vector<int>& ids) const {
  std::vector<int> symbols;
  std::vector<std::uint64_t> queue;
  constexpr std::size_t last_window = std::size_t{1} << 30;
  std::size_t window = all_bytes_ ? options_.window : last_window;
  while (!piece.empty()) {
    const std::string_view part = piece.substr(0, window);
    const bool whole = part.size() == piece.size();
    if (!whole && window >= last_window)
      throw Error("tokenizer: a piece of {} bytes is too long to merge. Split the document", piece.size());
    symbols.clear();
    append_symbols(part, symbols);
    if (symbols.empty()) return;
    const int following = whole ? -1 : byte_ids_[static_cast<unsigned char>(piece[part.size()])];
    const std::size_t settled = merges_.merge_many(symbols, following, queue);
    if (!whole && settled < window / 2) {
      window *= 2;
      continue;
    }
    for (std::size_t at = 0; at < settled; at += BpeMerges::length_of_first(std::span(symbols).subspan(at)))
      ids.push_back(symbols[at]);
    piece.remove_prefix(whole ? piece.size() : settled);
  }
}

}  // namespace moderngpt2::detail

#endif
