#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/json_string.hpp"
#include "moderngpt2/tokenizer/models/bpe_merges.hpp"
#include "moderngpt2/tokenizer/utf8.hpp"

namespace moderngpt2::detail {

/// Borders between characters of UTF-8 that no merge of byte-level BPE can cross, and the ids of single characters.
///
/// A merge across a border joins a token that ends there and one that begins there. Kept of these two are the last and
/// the first character; of tokens that have only a part of a character at the border, that part. In Chinese, Japanese
/// and Korean most borders cannot be crossed: 1.03 (GPT-2), 1.6 (Llama 3) or 1.7 characters (DeepSeek) stand between
/// two of them on average, and the same few again and again.
class CharacterBorders {
 public:
  static constexpr int id_bits = 18;

  /// A character: its ids, and the borders at which it may stand.
  class Entry {
   public:
    std::size_t count() const { return value_ >> (3 * id_bits) & 3; }  // ids; 0: more than 3, or unknown
    int id(std::size_t i) const {
      return static_cast<int>(value_ >> (i * id_bits) & ((std::uint64_t{1} << id_bits) - 1));
    }

   private:
    friend class CharacterBorders;
    static constexpr std::uint64_t one = std::uint64_t{1} << (3 * id_bits + 2);
    static constexpr std::uint64_t ends_left = one;         // a left side ends with it
    static constexpr std::uint64_t begins_right = 2 * one;  // a right side begins with it
    static constexpr std::uint64_t before_part = 4 * one;   // a right side after it may be part of a character
    static constexpr std::uint64_t after_part = 8 * one;    // a left side before it may be part of a character
    static constexpr std::uint64_t parts = 16 * one;        // begins with a part that may follow a part
    static constexpr std::uint64_t joined = 32 * one;       // never cut before and after it
    bool has(std::uint64_t flag) const { return value_ & flag; }

    std::uint64_t value_;  // not initialized: Entry() is
  };

  /// Character at the beginning of a text: its code point, or `other` for a longer or broken one.
  struct Step {
    char32_t character;
    std::uint32_t length;
  };
  static constexpr char32_t other = 0x10000;

  CharacterBorders() = default;

  /// `token_bytes[id]` are the bytes of each id, fewer than 2^id_bits ids.
  CharacterBorders(std::span<const std::string> token_bytes, std::span<const BpeMerge> merges);

  /// Calls `encode(bytes, ids)` for each character and keeps the ids, if they are at most 3.
  template <class Encode>
  void set_ids(Encode&& encode) {
    std::vector<int> ids;
    for (char32_t c = 0; c < other; ++c) {
      if (c >= 0xD800 && c < 0xE000) continue;
      ids.clear();
      std::string bytes;
      append_utf8(c, bytes);
      encode(bytes, ids);
      if (ids.size() > 3) continue;
      std::uint64_t& value = entries_[c].value_;
      for (std::size_t i = 0; i < ids.size(); ++i) value |= std::uint64_t(ids[i]) << (i * id_bits);
      value |= std::uint64_t{ids.size()} << (3 * id_bits);
    }
  }

  bool empty() const { return entries_.empty(); }

  static Step step(std::string_view text) {
    const auto byte = [&](std::size_t i) { return static_cast<char32_t>(static_cast<unsigned char>(text[i])); };
    const auto follows = [&](std::size_t i) { return i < text.size() && is_utf8_continuation(text[i]); };
    if (byte(0) >= 0xE0) {
      if (byte(0) >= 0xF0 || !follows(1) || !follows(2)) return {other, 1};
      const char32_t c = (byte(0) & 0xF) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
      return c < 0x800 ? Step{other, 1} : Step{c, 3};
    }
    if (byte(0) < 0x80) return {byte(0), 1};
    if (byte(0) < 0xC2 || !follows(1)) return {other, 1};
    return {(byte(0) & 0x1F) << 6 | (byte(1) & 0x3F), 2};
  }

  const Entry& operator[](char32_t character) const { return entries_[character]; }

  /// Whether no merge crosses the border between two characters.
  bool is_cut(char32_t left, char32_t right) const {
    const Entry l = entries_[left], r = entries_[right];
    if ((l.value_ | r.value_) & Entry::joined) return false;
    if (l.has(Entry::ends_left) && r.has(Entry::begins_right) && filter_.may_contain(whole(left), whole(right)))
      return false;
    if (l.has(Entry::before_part))
      if (may_contain(whole(left), begin(right, 6)) || may_contain(whole(left), begin(right, 12))) return false;
    if (r.has(Entry::after_part))
      if (may_contain(end(left, 6), whole(right)) || may_contain(end(left, 12), whole(right))) return false;
    if (r.has(Entry::parts))
      for (const int bits : {6, 12})
        if (may_contain(end(left, 6), begin(right, bits)) || may_contain(end(left, 12), begin(right, bits)))
          return false;
    return true;
  }

 private:
  // One side of a border, as a number for the filter: a character, its first bytes without the last 6 or
  // 12 bits, or its last bytes, which have 6 or 12 bits.
  using Side = int;
  static Side whole(char32_t c) { return static_cast<Side>(c); }
  static Side begin(char32_t c, int missing) { return (missing << 20) + static_cast<Side>(c >> missing); }
  static Side end(char32_t c, int bits) { return ((bits + 1) << 20) + static_cast<Side>(c & ((1u << bits) - 1)); }
  bool may_contain(Side left, Side right) const { return filter_.may_contain(left, right); }

  struct Part {
    char32_t bits = 0;
    int count = 0;  // 0: a whole character; 6 or 12: bits of an end, or missing bits of a beginning; -1: neither
  };
  static Part last_of(std::string_view token);
  static Part first_of(std::string_view token);

  std::vector<Entry> entries_;  // by code point; `other` is the last
  BorderFilter filter_{0};
};

}  // namespace moderngpt2::detail

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

MODERNGPT2_INLINE CharacterBorders::CharacterBorders(std::span<const std::string> token_bytes,
                                                     std::span<const BpeMerge> merges)
    : entries_(other + 1) {
  entries_[other].value_ = Entry::joined;
  std::vector<std::pair<Side, Side>> pairs;
  for (const BpeMerge& merge : merges) {
    const Part left = last_of(token_bytes[static_cast<std::size_t>(merge.left)]);
    const Part right = first_of(token_bytes[static_cast<std::size_t>(merge.right)]);
    if (left.count < 0 || right.count < 0) continue;  // no border between characters with entries
    pairs.emplace_back(left.count == 0 ? whole(left.bits) : end(left.bits, left.count),
                       right.count == 0 ? whole(right.bits) : begin(right.bits << right.count, right.count));
    if (left.count == 0) entries_[left.bits].value_ |= right.count == 0 ? Entry::ends_left : Entry::before_part;
    if (right.count == 0)
      entries_[right.bits].value_ |= left.count == 0 ? Entry::begins_right : Entry::after_part;
    else if (left.count > 0)
      for (char32_t c = 0; c < char32_t{1} << right.count; ++c)
        entries_[(right.bits << right.count) + c].value_ |= Entry::parts;
  }
  std::sort(pairs.begin(), pairs.end());
  pairs.erase(std::unique(pairs.begin(), pairs.end()), pairs.end());
  filter_ = BorderFilter(pairs.size());
  for (const auto& [left, right] : pairs) filter_.insert(left, right);
}

MODERNGPT2_INLINE CharacterBorders::Part CharacterBorders::last_of(std::string_view token) {
  if (token.empty()) return {0, -1};
  std::size_t at = token.size();
  while (at > 0 && is_utf8_continuation(token[--at])) {
  }
  const std::string_view bytes = token.substr(at);
  if (const Step found = step(bytes); found.character != other)
    return {found.character, found.length == bytes.size() ? 0 : -1};
  if (!is_utf8_continuation(bytes[0]) || bytes.size() > 2) return {0, -1};
  Part part;
  for (const char c : bytes) {
    part.bits = part.bits << 6 | (static_cast<unsigned char>(c) & 0x3F);
    part.count += 6;
  }
  return part;
}

MODERNGPT2_INLINE CharacterBorders::Part CharacterBorders::first_of(std::string_view token) {
  if (token.empty()) return {0, -1};
  if (const Step found = step(token); found.character != other) return {found.character, 0};
  const auto lead = static_cast<unsigned char>(token[0]);
  if (lead < 0xC2 || lead >= 0xF0) return {0, -1};
  if (token.size() == 1) return lead < 0xE0 ? Part{char32_t(lead & 0x1F), 6} : Part{char32_t(lead & 0xF), 12};
  if (token.size() > 2 || lead < 0xE0 || !is_utf8_continuation(token[1])) return {0, -1};
  return {char32_t(lead & 0xF) << 6 | (static_cast<unsigned char>(token[1]) & 0x3F), 6};
}

}  // namespace moderngpt2::detail

#endif
