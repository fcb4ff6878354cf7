#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/tokenizer/flat_map.hpp"
#include "moderngpt2/tokenizer/models/bpe_merges.hpp"
#include "moderngpt2/tokenizer/models/double_array.hpp"
#include "moderngpt2/tokenizer/models/token_ids.hpp"
#include "moderngpt2/tokenizer/table.hpp"

namespace moderngpt2::detail {

/// Byte-level BPE without merging: finds the merges' result by search, in linear time for text of any kind.
///
/// A sequence of tokens is the result of merging if and only if each token alone, and each two adjacent tokens alone,
/// are the results of merging their own bytes: before the first merge across a border, both sides change as they do
/// alone, so that the same merge would come first in the two tokens alone. The results for prefixes of a text are
/// unique, hence the search takes the longest token that fits to the one before, and steps back where none fits.
///
/// Whether two tokens stay apart follows from the merges that made them, if these came in the order of their ranks: the
/// last one is undone step by step, and at each step the merge across the border must not exist or must come later.
/// For tokens that a late merge made, one with a lower rank than those of its sides (107 of the 128,000 of Llama 3),
/// the pair is merged instead. Tables with many of them, or with ids or ranks of more than 21 bits, are refused.
class BpeSearch {
 public:
  /// Makes the tables, or returns nothing for merges that cannot be searched. `token_bytes[id]` are the bytes of each
  /// id; all 256 bytes have tokens, `byte_ids`.
  static std::optional<BpeSearch> make(std::span<const std::string> token_bytes, std::span<const BpeMerge> merges,
                                       const std::array<int, 256>& byte_ids, const BpeMerges& table);

  /// Tokens, the ids that TokenIds gives their bytes, that are not the result of merging their bytes.
  TokenIds unmade_tokens(std::span<const std::string> token_bytes) const;

  /// Appends the ids of `piece`.
  void encode(std::string_view piece, std::vector<int>& ids, const std::array<int, 256>& byte_ids,
              const BpeMerges& table) const;

 private:
  static constexpr std::size_t longest_token = 512;
  static constexpr int id_bits = 21;
  // Times of tokens: made by a late merge, so that pairs are merged to see whether they stay apart; while making the
  // tables: not the result of its bytes; and no token at all
  static constexpr std::uint32_t simulated = std::uint32_t{1} << 28, unmade = std::uint32_t{1} << 29,
                                 never = std::uint32_t{1} << 30;

  struct Token {             // how it was made
    std::uint32_t time = 0;  // rank of the merge + 1; 0: a byte; `never`: its bytes do not merge to it
    std::uint32_t left = 0, right = 0;
    std::uint32_t length = 0;
    std::int32_t shorter = -1;  // longest other token that begins it, or -1
  };

  BpeSearch() = default;

  bool make_tokens(std::span<const std::string> token_bytes, std::span<const BpeMerge> merges,
                   const std::array<int, 256>& byte_ids, const BpeMerges& table);

  /// Whether the bytes of a text merge to these ids.
  static bool merges_to(std::string_view text, std::span<const int> expected, const std::array<int, 256>& byte_ids,
                        const BpeMerges& table);

  std::uint64_t pair_place(std::uint32_t left, std::uint32_t right) const {
    return ((std::uint64_t{left} << id_bits | right) * 0x9E3779B97F4A7C15u) >> shift_;
  }
  /// Rank + 1 of the merge of two tokens, or `never`.
  std::uint32_t time_of(std::uint32_t left, std::uint32_t right) const {
    const std::uint64_t key = std::uint64_t{left} << id_bits | right;
    std::size_t at = pair_place(left, right);
    while (pairs_[at] != 0 && pairs_[at] >> (64 - 2 * id_bits) != key) at = (at + 1) & (pairs_.size() - 1);
    return pairs_[at] == 0 ? never : static_cast<std::uint32_t>(pairs_[at] & ((std::uint64_t{1} << 22) - 1));
  }

  /// Whether no merge across the border of two tokens comes before `limit`, twice a time, while these are made.
  bool stay_apart(std::uint32_t left, std::uint32_t right, std::uint64_t limit) const {
    while (true) {
      if (2 * std::uint64_t{time_of(left, right)} < limit) return false;
      const std::uint32_t left_time = tokens_[left].time, right_time = tokens_[right].time;
      if (left_time > right_time) {  // the left token was made last: it is in the way of a merge of the same rank
        limit = 2 * std::uint64_t{left_time};
        left = tokens_[left].right;
      } else if (right_time > 0) {  // equal ranks: the left one comes first
        limit = 2 * std::uint64_t{right_time} + 1;
        right = tokens_[right].left;
      } else {
        return true;
      }
    }
  }

  Table<Token> tokens_;
  Table<std::uint64_t> pairs_;  // left, right and rank + 1; 0: free
  int shift_ = 0;
  DoubleArray trie_;
};

}  // namespace moderngpt2::detail

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

MODERNGPT2_INLINE std::optional<BpeSearch> BpeSearch::make(std::span<const std::string> token_bytes,
                                                           std::span<const BpeMerge> merges,
                                                           const std::array<int, 256>& byte_ids,
                                                           const BpeMerges& table) {
  BpeSearch search;
  if (token_bytes.size() >= std::size_t{1} << id_bits || !search.make_tokens(token_bytes, merges, byte_ids, table))
    return std::nullopt;
  std::vector<std::string> texts(token_bytes.size());
  for (std::size_t id = 0; id < texts.size(); ++id)
    if (search.tokens_[id].time != never) texts[id] = token_bytes[id];
  search.trie_ = DoubleArray(texts);
  for (std::size_t id = 0; id < texts.size(); ++id) {
    Token& token = search.tokens_[id];
    token.length = static_cast<std::uint32_t>(texts[id].size());
    search.trie_.for_each_prefix(texts[id], [&](std::size_t length, int shorter) {
      if (length < texts[id].size()) token.shorter = shorter;
    });
  }
  return search;
}

MODERNGPT2_INLINE bool BpeSearch::make_tokens(std::span<const std::string> token_bytes,
                                              std::span<const BpeMerge> merges, const std::array<int, 256>& byte_ids,
                                              const BpeMerges& table) {
  FlatMap<std::uint32_t> last(merges.size());  // the last merge of a pair counts
  std::vector<std::uint32_t> order;
  for (std::uint32_t i = 0; i < merges.size(); ++i) {
    const auto [left, right, result, rank] = merges[i];
    const std::string& bytes = token_bytes[static_cast<std::size_t>(result)];
    if (bytes.size() > longest_token || rank >= (std::uint32_t{1} << id_bits)) return false;
    last.set(pair_key(left, right), i);
  }
  for (std::uint32_t i = 0; i < merges.size(); ++i) {
    const auto [left, right, result, rank] = merges[i];
    if (*last.find(pair_key(left, right)) == i) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return merges[a].rank < merges[b].rank; });

  const std::size_t slots = std::bit_ceil(std::max<std::size_t>(2 * order.size(), 16));
  pairs_.assign(slots, 0);
  shift_ = 64 - std::countr_zero(slots);
  for (const std::uint32_t i : order) {
    const auto left = static_cast<std::uint32_t>(merges[i].left), right = static_cast<std::uint32_t>(merges[i].right);
    std::size_t at = pair_place(left, right);
    while (pairs_[at] != 0) at = (at + 1) & (slots - 1);
    pairs_[at] = (std::uint64_t{left} << id_bits | right) << (64 - 2 * id_bits) | (merges[i].rank + 1);
  }

  tokens_.assign(token_bytes.size(), Token{never, 0, 0, 0, -1});
  for (const int id : byte_ids) tokens_[static_cast<std::size_t>(id)].time = 0;
  std::vector<std::size_t> late;  // results of merges whose sides are made later, or late themselves
  for (const std::uint32_t i : order) {
    const auto left = static_cast<std::uint32_t>(merges[i].left), right = static_cast<std::uint32_t>(merges[i].right);
    const std::uint32_t time = merges[i].rank + 1;
    const auto result = static_cast<std::size_t>(merges[i].result);
    Token& token = tokens_[result];
    if (tokens_[left].time >= time || tokens_[right].time >= time) {
      late.push_back(result);
    } else if (token.time == never && stay_apart(left, right, 2 * std::uint64_t{time})) {
      token.time = time;
      token.left = left;
      token.right = right;
    }
  }
  // A token has one last merge. If that is not late, late merges of the token never apply.
  std::size_t most_late = 1000 + tokens_.size() / 64;
  for (const std::size_t id : late) {
    if (tokens_[id].time != never || token_bytes[id].empty()) continue;
    if (most_late-- == 0) return false;
    const int expected[] = {static_cast<int>(id)};
    tokens_[id].time = merges_to(token_bytes[id], expected, byte_ids, table) ? simulated : unmade;
  }
  for (Token& token : tokens_) token.time = token.time == unmade ? never : token.time;
  return true;
}

MODERNGPT2_INLINE bool BpeSearch::merges_to(std::string_view text, std::span<const int> expected,
                                            const std::array<int, 256>& byte_ids, const BpeMerges& table) {
  std::vector<int> symbols, ids;
  for (const char c : text) symbols.push_back(byte_ids[static_cast<unsigned char>(c)]);
  table.merge_all(symbols, ids);
  return std::equal(ids.begin(), ids.end(), expected.begin(), expected.end());
}

MODERNGPT2_INLINE TokenIds BpeSearch::unmade_tokens(std::span<const std::string> token_bytes) const {
  const TokenIds all(token_bytes);
  std::vector<std::string> result(token_bytes.size());
  for (std::size_t id = 0; id < result.size(); ++id)
    if (tokens_[id].time == never && all.find(token_bytes[id]) == static_cast<int>(id)) result[id] = token_bytes[id];
  return TokenIds(result);
}

MODERNGPT2_INLINE void BpeSearch::encode(std::string_view piece, std::vector<int>& ids,
                                         const std::array<int, 256>& byte_ids, const BpeMerges& table) const {
  constexpr std::size_t few = 64;
  std::uint64_t few_dead = 0;
  thread_local std::vector<std::uint64_t> many_dead;  // bit i: no token fits after the first i + 1 bytes
  std::uint64_t* dead = &few_dead;
  if (piece.size() > few) {
    many_dead.assign((piece.size() + 63) / 64, 0);
    dead = many_dead.data();
  }
  const std::size_t before = ids.size();
  std::size_t at = 0;
  const auto length_of = [&](int token) { return tokens_[static_cast<std::size_t>(token)].length; };
  const auto fits = [&](int token, std::uint32_t length) {
    if (ids.size() == before) return true;
    const auto left = static_cast<std::uint32_t>(ids.back()), right = static_cast<std::uint32_t>(token);
    if (tokens_[left].time < simulated && tokens_[right].time < simulated)
      return stay_apart(left, right, 2 * std::uint64_t{never});
    const int expected[] = {ids.back(), token};
    return merges_to(piece.substr(at - tokens_[left].length, tokens_[left].length + length), expected, byte_ids, table);
  };
  DoubleArray::Match next = trie_.longest_prefix(piece);
  while (at < piece.size()) {
    while (next.id >= 0) {
      const std::size_t last = at + next.length - 1;
      if (!(dead[last / 64] >> (last % 64) & 1) && fits(next.id, next.length)) break;
      next.id = tokens_[static_cast<std::size_t>(next.id)].shorter;
      if (next.id >= 0) next.length = length_of(next.id);
    }
    if (next.id >= 0) {
      ids.push_back(next.id);
      at += next.length;
      if (at < piece.size()) next = trie_.longest_prefix(piece.substr(at));
    } else {  // never at the start: its byte fits
      dead[(at - 1) / 64] |= std::uint64_t{1} << ((at - 1) % 64);
      next = {ids.back(), length_of(ids.back())};
      ids.pop_back();
      at -= next.length;
    }
  }
  constexpr std::size_t kept_words = std::size_t{1} << 16;
  if (many_dead.capacity() > kept_words) many_dead = {};
}

}  // namespace moderngpt2::detail

#endif
