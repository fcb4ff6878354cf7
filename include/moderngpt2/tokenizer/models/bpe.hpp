#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/tokenizer/ascii_letters.hpp"
#include "moderngpt2/tokenizer/models/bpe_merges.hpp"
#include "moderngpt2/tokenizer/models/character_ids.hpp"
#include "moderngpt2/tokenizer/models/id_writer.hpp"
#include "moderngpt2/tokenizer/models/merge_dropout.hpp"
#include "moderngpt2/tokenizer/models/segment_cache.hpp"
#include "moderngpt2/tokenizer/models/token_ids.hpp"
#include "moderngpt2/tokenizer/models/word_cache.hpp"
#include "moderngpt2/tokenizer/utf8.hpp"

namespace moderngpt2::detail {

/// Settings of a BpeModel.
struct BpeOptions {
  int unk_id = -1;                           ///< -1: drop unknown characters
  bool fuse_unk = false;                     ///< one unk for each run of unknown characters
  bool ignore_merges = false;                ///< a piece that is a token of the vocabulary is not merged
  bool marks_spaces = false;                 ///< treat spaces in the text as space marks
  std::array<int, 256> byte_ids = no_ids();  ///< byte fallback; all -1: disabled
  std::size_t window = 4096;                 ///< maximum characters merged at once in a long segment
  std::string continuing_subword_prefix;     ///< before each character but the first, see AffixBpeModel
  std::string end_of_word_suffix;            ///< after the last character, see AffixBpeModel

  static std::array<int, 256> no_ids() {
    std::array<int, 256> ids;
    ids.fill(-1);
    return ids;
  }
};

/// Byte pair encoding (Sennrich et al. 2016) with the results of Hugging Face `tokenizers`: the merge of the lowest
/// rank is applied first, leftmost first among equals.
///
/// Text is split into segments at borders that no merge can cross, which does not change the result: between two
/// characters of the vocabulary that no merge has at its inner border, and at borders of characters outside the
/// vocabulary, if no merge uses their fallback tokens. A segment is usually a word, or a few characters in languages
/// without spaces.
class BpeModel {
 public:
  /// `tokens[id]` is the text of each id of the model. A merge's result has the concatenated text of both sides.
  BpeModel(std::span<const std::string> tokens, std::span<const BpeMerge> merges, const BpeOptions& options);

  /// Appends the ids of `text`, which must be valid UTF-8.
  void encode(std::string_view text, std::vector<int>& ids) const;

  /// Appends ids of `text` with BPE dropout; see merge_with_dropout(). A text of more than 2^20 characters is merged
  /// in parts of that size.
  void encode_with_dropout(std::string_view text, std::vector<int>& ids, double dropout, Rng& random) const;

 private:
  static constexpr std::size_t last_window = std::size_t{1} << 30;

  /// Buffers for merging, one per thread.
  struct Scratch {
    std::vector<int> symbols;
    std::vector<std::uint64_t> queue;
    void release_much() {  // frees the buffers of a huge segment
      constexpr std::size_t kept = std::size_t{1} << 18;
      if (symbols.capacity() > kept) symbols = {};
      if (queue.capacity() > kept) queue = {};
    }
  };

  static char32_t first_character(std::string_view token) {
    return token.empty() ? 0 : utf8_decode(token, 0, utf8_length(token[0]));
  }
  static char32_t last_character(std::string_view token);
  std::vector<int> first_characters(std::span<const std::string> tokens) const;

  /// Whether no merge crosses the border between two characters, given by their ids; unknown ones stay together.
  bool is_cut(int left, int right) const;
  bool is_ascii_cut(unsigned char left, unsigned char right) const {
    return ascii_cuts_[left][right / 64] >> (right % 64) & 1;
  }
  /// Id of `text` if it is a token and ignore_merges is set, otherwise -1.
  int whole_token(std::string_view text) const;

  /// Part of a text between two borders that no merge crosses.
  struct Segment {
    std::size_t begin, size;
    int first;  // id of the first character
    bool is_character;
  };
  class Segments;
  /// Merges a segment and calls `add` with its ids. A segment longer than a window is merged window by window; each
  /// emits the symbols that later text cannot change. If these are less than half of the window (not seen in natural
  /// text), the window is doubled.
  template <class Add>
  void add_merged(std::string_view segment, Add&& add) const {
    thread_local Scratch scratch;
    std::vector<int>& symbols = scratch.symbols;
    std::size_t window = fallback_stands_alone_ ? options_.window : last_window;
    while (!segment.empty()) {
      symbols.clear();
      const std::size_t end = add_characters(segment, window, [&](int id) { symbols.push_back(id); });
      const bool whole = end == segment.size();
      if (symbols.size() <= BpeMerges::few && whole) {
        const std::size_t count = merges_.merge_few(symbols);
        for (std::size_t i = 0; i < count; ++i) add(symbols[i]);
        return;
      }
      if (symbols.size() > last_window || (!whole && window >= last_window))
        throw Error("tokenizer: a segment of {} bytes is too long to merge. Split the document", segment.size());
      const int following = whole ? -1 : characters_.step(segment, end).id;
      const std::size_t settled = merges_.merge_many(symbols, following, scratch.queue);
      if (!whole && settled < window / 2) {
        window *= 2;
        continue;
      }
      for (std::size_t at = 0; at < settled; at += BpeMerges::length_of_first(std::span(symbols).subspan(at)))
        add(symbols[at]);
      segment.remove_prefix(whole ? end : bytes_of(segment, settled));
    }
    scratch.release_much();
  }

  /// Calls `add` with the id of each of the first `most` characters, or with its fallback ids, and returns the length
  /// of these characters in bytes.
  template <class Add>
  std::size_t add_characters(std::string_view text, std::size_t most, Add&& add) const {
    bool pending_unk = false;  // as in `tokenizers`: written before the next known character, after any byte tokens
    std::size_t at = 0;
    for (std::size_t n = 0; n < most && at < text.size(); ++n) {
      const auto [id, length] = characters_.step(text, at);
      std::string_view character = text.substr(at, length);
      at += length;
      if (id >= 0) {
        if (pending_unk) add(options_.unk_id);
        pending_unk = false;
        add(id);
        continue;
      }
      if (options_.marks_spaces && character == " ") character = space_mark;
      if (has_bytes(character)) {
        for (const char c : character) add(byte_id(c));
      } else if (options_.unk_id >= 0) {
        if (pending_unk && !options_.fuse_unk) add(options_.unk_id);
        pending_unk = true;
      }
    }
    if (pending_unk) add(options_.unk_id);
    return at;
  }

  static std::size_t bytes_of(std::string_view text, std::size_t characters);
  int byte_id(char c) const { return options_.byte_ids[static_cast<unsigned char>(c)]; }
  bool has_bytes(std::string_view character) const {
    return std::all_of(character.begin(), character.end(), [&](char c) { return byte_id(c) >= 0; });
  }

  CharacterIds characters_;
  BpeMerges merges_;
  BorderFilter borders_;
  TokenIds whole_;  // with ignore_merges
  BpeOptions options_;
  bool fallback_stands_alone_ = true;
  bool all_bytes_ = true;      // an unknown character is the tokens of its bytes
  bool keeps_letters_ = true;  // ASCII letters, all known, are not cut apart: most of their pairs have merges
  std::uint64_t ascii_cuts_[128][2] = {};
  WordCache segments_;
};

}  // namespace moderngpt2::detail

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

MODERNGPT2_INLINE BpeModel::BpeModel(std::span<const std::string> tokens, std::span<const BpeMerge> merges,
                                     const BpeOptions& options)
    : characters_(tokens), merges_(merges, first_characters(tokens)), borders_(merges.size()), options_(options) {
  if (options.marks_spaces) characters_.set(U' ', characters_[U'\u2581']);
  if (options.ignore_merges) whole_ = TokenIds(tokens);
  std::vector<bool> is_fallback(tokens.size(), false);
  for (const int id : options.byte_ids)
    if (id >= 0) is_fallback[static_cast<std::size_t>(id)] = true;
  if (options.unk_id >= 0) {
    is_fallback[static_cast<std::size_t>(options.unk_id)] = true;
  } else if (std::find(options.byte_ids.begin(), options.byte_ids.end(), -1) != options.byte_ids.end()) {
    fallback_stands_alone_ = false;  // dropping a character makes its neighbours adjacent
  }
  for (const BpeMerge& merge : merges) {
    const auto left = static_cast<std::size_t>(merge.left), right = static_cast<std::size_t>(merge.right);
    const int last = characters_[last_character(tokens[left])];
    const int first = characters_[first_character(tokens[right])];
    if (last >= 0 && first >= 0) borders_.insert(last, first);
    if (is_fallback[left] || is_fallback[right]) fallback_stands_alone_ = false;
  }
  all_bytes_ = std::find(options.byte_ids.begin(), options.byte_ids.end(), -1) == options.byte_ids.end() &&
               !(options.marks_spaces && characters_[U' '] < 0);
  for (unsigned char c = 'A'; c <= 'z'; ++c) keeps_letters_ &= !is_ascii_letter(c) || characters_[c] >= 0;
  for (unsigned char left = 0; left < 128; ++left)
    for (unsigned char right = 0; right < 128; ++right) {
      const bool kept = keeps_letters_ && is_ascii_letter(left) && is_ascii_letter(right);
      if (kept || !is_cut(characters_[left], characters_[right])) continue;
      ascii_cuts_[left][right / 64] |= std::uint64_t{1} << (right % 64);
    }
}

/// Collects segments and encodes them together, so that waiting for the memory of the cache overlaps.
class BpeModel::Segments {
 public:
  Segments(const BpeModel& model, std::string_view text, std::vector<int>& ids)
      : model_(model), text_(text), out_(ids) {}

  void add(Segment segment) {
    segments_[count_++] = segment;
    if (count_ == segments_.size()) run();
  }

  void finish() {
    run();
    out_.flush();
  }

 private:
  void run() {
    SegmentCache& cache = SegmentCache::of_this_thread();
    const WordCache& words = model_.segments_;
    for (std::size_t i = 0; i < count_; ++i)
      if (!segments_[i].is_character && words.takes(text_of(segments_[i])))
        slots_[i] = words.slot(text_of(segments_[i]), text_.data() + text_.size(), cache);
    for (std::size_t i = 0; i < count_; ++i) {
      const Segment& segment = segments_[i];
      const auto merge = [&](std::vector<int>& ids) {
        model_.add_merged(text_of(segment), [&](int id) { ids.push_back(id); });
      };
      if (segment.is_character && segment.first >= 0)
        out_.add(segment.first);
      else if (segment.first < 0 && model_.fallback_stands_alone_)
        add_unknown(text_of(segment));
      else if (segment.is_character)
        merge(out_.flush());
      else
        words.add(text_of(segment), slots_[i], cache, out_, merge);
    }
    count_ = 0;
  }

  std::string_view text_of(const Segment& segment) const { return text_.substr(segment.begin, segment.size); }

  void add_unknown(std::string_view text) {
    if (!model_.all_bytes_) return (void)model_.add_characters(text, text.size(), [&](int id) { out_.add(id); });
    for (const char c : text) out_.add(model_.byte_id(c));
  }

  const BpeModel& model_;
  std::string_view text_;
  IdWriter out_;
  std::size_t count_ = 0;
  std::array<Segment, 64> segments_;
  std::array<SegmentCache::Slot, 64> slots_;
};

MODERNGPT2_INLINE void BpeModel::encode(std::string_view text, std::vector<int>& ids) const {
  if (text.empty()) return;
  if (const int id = whole_token(text); id >= 0) return ids.push_back(id);
  Segments segments(*this, text, ids);
  CharacterIds::Step step = characters_.step(text, 0);
  for (std::size_t begin = 0, end = 0; begin < text.size(); begin = end) {
    Segment segment{begin, step.length, step.id, true};
    end = begin + step.length;
    int left = step.id;
    while (end < text.size()) {
      const auto before = static_cast<unsigned char>(text[end - 1]), after = static_cast<unsigned char>(text[end]);
      if ((before | after) < 0x80) {
        if (is_ascii_cut(before, after)) {
          step = {characters_[after], 1};
          break;
        }
        ++end;
        if (keeps_letters_ && is_ascii_letter(after)) end = skip_ascii_letters(text, end);
      } else {
        if (before < 0x80) left = characters_[before];
        step = characters_.step(text, end);
        if (is_cut(left, step.id)) break;
        left = step.id;
        end += step.length;
      }
      segment.is_character = false;
    }
    segment.size = end - begin;
    segments.add(segment);
  }
  segments.finish();
}

MODERNGPT2_INLINE char32_t BpeModel::last_character(std::string_view token) {
  std::size_t at = token.size();
  while (at > 0 && is_utf8_continuation(token[--at])) {
  }
  return token.empty() ? 0 : utf8_decode(token, at, token.size() - at);
}

MODERNGPT2_INLINE std::vector<int> BpeModel::first_characters(std::span<const std::string> tokens) const {
  std::vector<int> ids;
  for (const std::string& token : tokens) ids.push_back(characters_[first_character(token)]);
  return ids;
}

MODERNGPT2_INLINE bool BpeModel::is_cut(int left, int right) const {
  if (left < 0 || right < 0) return fallback_stands_alone_ && (left >= 0 || right >= 0);
  return !borders_.may_contain(left, right);
}

MODERNGPT2_INLINE int BpeModel::whole_token(std::string_view text) const {
  if (!options_.ignore_merges || text.size() > whole_.longest()) return -1;
  if (!options_.marks_spaces || text.find(' ') == text.npos) return whole_.find(text);
  std::string marked;
  for (const char c : text) c == ' ' ? marked += space_mark : marked += c;
  return whole_.find(marked);
}

MODERNGPT2_INLINE void BpeModel::encode_with_dropout(std::string_view text, std::vector<int>& ids, double dropout,
                                                     Rng& random) const {
  if (dropout <= 0) return encode(text, ids);
  std::vector<int> symbols;
  while (!text.empty()) {
    symbols.clear();
    const std::size_t end = add_characters(text, dropout_part, [&](int id) { symbols.push_back(id); });
    const std::size_t count = merge_with_dropout(merges_, symbols, dropout, random);
    ids.insert(ids.end(), symbols.begin(), symbols.begin() + static_cast<std::ptrdiff_t>(count));
    text.remove_prefix(end);
  }
}

MODERNGPT2_INLINE std::size_t BpeModel::bytes_of(std::string_view text, std::size_t characters) {
  std::size_t bytes = 0;
  for (; characters > 0; --characters) bytes += utf8_length(text[bytes]);
  return bytes;
}

}  // namespace moderngpt2::detail

#endif
