#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/tokenizer/flat_map.hpp"
#include "moderngpt2/tokenizer/segment_cache.hpp"
#include "moderngpt2/tokenizer/utf8.hpp"

namespace moderngpt2::detail {

/// A rule of byte pair encoding: `left` followed by `right` becomes `result`. Its rank is its place in the list.
struct BpeMerge {
  int left, right, result;  // ids
};

struct BpeOptions {
  int unk_id = -1;                           // -1: unknown characters are dropped
  bool fuse_unk = false;                     // a run of unknown characters gives one unk
  std::array<int, 256> byte_ids = no_ids();  // byte fallback; all -1: none

  static std::array<int, 256> no_ids() {
    std::array<int, 256> ids;
    ids.fill(-1);
    return ids;
  }
};

/// Byte pair encoding (Sennrich et al. 2016) of normalized text, with the results of Hugging Face `tokenizers`: the
/// merge of the lowest rank is applied first, leftmost first among equals.
///
/// Text is cut where no merge can reach across, which changes nothing in the result: before each run of space marks,
/// if no merge joins something to a space mark at its right (checked here; so SentencePiece trains), and in long
/// stretches without spaces, between two characters that no merge has at its inner border.
class BpeModel {
 public:
  /// `tokens[id]` is the text of each id of the model.
  BpeModel(std::span<const std::string> tokens, std::span<const BpeMerge> merges, const BpeOptions& options)
      : merges_(merges.size()), borders_(merges.size()), options_(options), serial_(next_serial()) {
    for (std::size_t id = 0; id < tokens.size(); ++id) {
      const std::string& token = tokens[id];
      if (!token.empty() && utf8_length(token[0]) == token.size())
        set_character(utf8_decode(token, 0, token.size()), static_cast<int>(id));
    }
    cuts_at_spaces_ = character_id(space) >= 0;
    for (std::size_t rank = 0; rank < merges.size(); ++rank) {
      const BpeMerge& merge = merges[rank];
      merges_.set(pair_key(merge.left, merge.right), {static_cast<std::uint32_t>(rank), merge.result});
      const char32_t last = last_character(tokens[static_cast<std::size_t>(merge.left)]);
      const std::string& right = tokens[static_cast<std::size_t>(merge.right)];
      const char32_t first = right.empty() ? 0 : utf8_decode(right, 0, utf8_length(right[0]));
      borders_.set(border_key(last, first), 1);
      if (first == space && last != space) cuts_at_spaces_ = false;
    }
  }

  /// Appends the ids of `text`, which is valid UTF-8 after the normalizer.
  void encode(std::string_view text, std::vector<int>& ids) const {
    if (!cuts_at_spaces_) return encode_long(text, ids);
    SegmentCache& cache = SegmentCache::of_this_thread(serial_);
    while (!text.empty()) {
      std::size_t end = 0;
      while (text.substr(end, space_mark.size()) == space_mark) end += space_mark.size();
      end = std::min(text.find(space_mark, end), text.size());
      const std::string_view segment = text.substr(0, end);
      text.remove_prefix(end);
      if (segment.size() > SegmentCache::longest_segment) {
        encode_long(segment, ids);
      } else if (!cache.append_to(segment, ids)) {
        const std::size_t begin = ids.size();
        encode_segment(segment, ids);
        cache.store(segment, std::span(ids).subspan(begin));
      }
    }
  }

  bool cuts_at_spaces() const { return cuts_at_spaces_; }

 private:
  static constexpr char32_t space = 0x2581;
  static constexpr std::uint32_t none = std::numeric_limits<std::uint32_t>::max();

  struct RankedResult {
    std::uint32_t rank;
    int id;
  };
  struct Symbol {
    int id;  // -1: merged into its left neighbour
    std::uint32_t previous, next;
  };
  struct Candidate {
    std::uint32_t rank, position;
    int id;
    bool operator<(const Candidate& other) const {  // for a heap whose top is the lowest (rank, position)
      return rank != other.rank ? rank > other.rank : position > other.position;
    }
  };

  static std::uint64_t next_serial() {
    static std::atomic<std::uint64_t> serial{0};
    return ++serial;
  }
  static std::uint64_t pair_key(int left, int right) {
    return std::uint64_t{static_cast<std::uint32_t>(left)} << 32 | static_cast<std::uint32_t>(right);
  }
  static std::uint64_t border_key(char32_t left, char32_t right) { return std::uint64_t{left} << 32 | right; }
  static char32_t last_character(std::string_view token) {
    std::size_t at = token.size();
    while (at > 0 && is_utf8_continuation(token[--at])) {
    }
    return token.empty() ? 0 : utf8_decode(token, at, token.size() - at);
  }

  void set_character(char32_t character, int id) {
    std::uint32_t& page = pages_[character >> 8];
    if (page == 0) {
      page = static_cast<std::uint32_t>(character_ids_.size() / 256);
      character_ids_.resize(character_ids_.size() + 256, -1);
    }
    character_ids_[page * std::size_t{256} + (character & 0xFF)] = id;
  }
  int character_id(char32_t character) const {
    return character_ids_[pages_[character >> 8] * std::size_t{256} + (character & 0xFF)];
  }

  /// Cuts where both characters are of the vocabulary (so that a run of unknown ones stays whole) and no merge has
  /// them at its inner border.
  void encode_long(std::string_view text, std::vector<int>& ids) const {
    std::size_t begin = 0;
    char32_t previous = 0;
    bool previous_known = false;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t length = utf8_length(text[at]);
      const char32_t character = utf8_decode(text, at, length);
      const bool known = character_id(character) >= 0;
      if (known && previous_known && !borders_.find(border_key(previous, character))) {
        encode_segment(text.substr(begin, at - begin), ids);
        begin = at;
      }
      previous = character;
      previous_known = known;
      at += length;
    }
    encode_segment(text.substr(begin), ids);
  }

  void encode_segment(std::string_view text, std::vector<int>& ids) const {
    thread_local std::vector<Symbol> symbols;
    thread_local std::vector<Candidate> heap;
    symbols.clear();
    heap.clear();
    if (text.size() >= none)
      throw Error("tokenizer: a stretch of {} bytes without a place to cut it; split the document", text.size());
    add_characters(text, symbols);
    for (std::uint32_t i = 0; i + 1 < symbols.size(); ++i) add_candidate(symbols, i, i + 1, heap);
    std::make_heap(heap.begin(), heap.end());
    while (!heap.empty()) {
      const Candidate top = heap.front();
      std::pop_heap(heap.begin(), heap.end());
      heap.pop_back();
      apply(top, symbols, heap);
    }
    for (const Symbol& symbol : symbols)
      if (symbol.id >= 0) ids.push_back(symbol.id);
    constexpr std::size_t kept = std::size_t{1} << 20;  // one huge document must not hold its memory for ever
    if (symbols.capacity() > kept) symbols = {};
    if (heap.capacity() > kept) heap = {};
  }

  void add_characters(std::string_view text, std::vector<Symbol>& symbols) const {
    const auto add = [&](int id) {
      const auto at = static_cast<std::uint32_t>(symbols.size());
      symbols.push_back({id, at == 0 ? none : at - 1, at + 1});
    };
    bool pending_unk = false;  // as in `tokenizers`, written when the next known character comes, after any bytes
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t length = utf8_length(text[at]);
      const int id = character_id(utf8_decode(text, at, length));
      if (id >= 0) {
        if (pending_unk) add(options_.unk_id);
        pending_unk = false;
        add(id);
      } else if (has_bytes(text.substr(at, length))) {
        for (const char c : text.substr(at, length)) add(byte_id(c));
      } else if (options_.unk_id >= 0) {
        if (pending_unk && !options_.fuse_unk) add(options_.unk_id);
        pending_unk = true;
      }
      at += length;
    }
    if (pending_unk) add(options_.unk_id);
    if (!symbols.empty()) symbols.back().next = none;
  }

  int byte_id(char c) const { return options_.byte_ids[static_cast<unsigned char>(c)]; }
  bool has_bytes(std::string_view character) const {
    return std::all_of(character.begin(), character.end(), [&](char c) { return byte_id(c) >= 0; });
  }

  bool add_candidate(const std::vector<Symbol>& symbols, std::uint32_t left, std::uint32_t right,
                     std::vector<Candidate>& heap) const {
    const RankedResult* merge = merges_.find(pair_key(symbols[left].id, symbols[right].id));
    if (merge) heap.push_back({merge->rank, left, merge->id});
    return merge != nullptr;
  }

  void apply(const Candidate& top, std::vector<Symbol>& symbols, std::vector<Candidate>& heap) const {
    Symbol& left = symbols[top.position];
    if (left.id < 0 || left.next == none) return;
    Symbol& right = symbols[left.next];
    const RankedResult* merge = merges_.find(pair_key(left.id, right.id));
    if (!merge || merge->id != top.id) return;  // the pair has changed since it was queued
    left.id = top.id;
    left.next = right.next;
    right.id = -1;
    if (left.next != none) symbols[left.next].previous = top.position;
    if (left.previous != none && add_candidate(symbols, left.previous, top.position, heap))
      std::push_heap(heap.begin(), heap.end());
    if (left.next != none && add_candidate(symbols, top.position, left.next, heap))
      std::push_heap(heap.begin(), heap.end());
  }

  FlatMap<RankedResult> merges_;
  FlatMap<std::uint8_t> borders_;                                             // inner borders of merges
  std::vector<std::uint32_t> pages_ = std::vector<std::uint32_t>(0x1100, 0);  // by the character's high bits
  std::vector<int> character_ids_ = std::vector<int>(256, -1);                // page 0: characters without a token
  BpeOptions options_;
  std::uint64_t serial_;
  bool cuts_at_spaces_ = false;
};

}  // namespace moderngpt2::detail
