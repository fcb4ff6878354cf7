#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/tokenizer/models/bpe.hpp"
#include "moderngpt2/tokenizer/models/word_cache.hpp"

namespace moderngpt2::detail {

/// Byte pair encoding of words with affixes, as CLIP's: each character but the first begins with
/// `continuing_subword_prefix`, and the last one ends with `end_of_word_suffix`. Other settings as those of a BpeModel;
/// `marks_spaces` and `window` are not used.
class AffixBpeModel {
 public:
  /// `tokens[id]` is the text of each id of the model (empty: none).
  AffixBpeModel(std::span<const std::string> tokens, std::span<const BpeMerge> merges, const BpeOptions& options)
      : ids_(tokens), merges_(merges, std::vector<int>(tokens.size(), -1)), options_(options) {}

  /// Appends the ids of `word`, which must be valid UTF-8.
  void encode(std::string_view word, std::vector<int>& ids) const {
    if (!word.empty()) encode(Pieces{{&word, 1}, word.data() + word.size()}, ids);
  }
  void encode(const Pieces& text, std::vector<int>& ids) const;

  /// Appends ids of `word` with BPE dropout; see merge_with_dropout().
  void encode_with_dropout(std::string_view word, std::vector<int>& ids, double dropout, Rng& random) const;

 private:
  std::vector<int> symbols_of(std::string_view word) const;

  void compute(std::string_view word, std::vector<int>& ids) const;

  TokenIds ids_;
  BpeMerges merges_;
  BpeOptions options_;
  WordCache cache_;
};

}  // namespace moderngpt2::detail

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

MODERNGPT2_INLINE void AffixBpeModel::encode(const Pieces& text, std::vector<int>& ids) const {
  cache_.encode(text, ids, [this](std::string_view word, std::vector<int>& to) { compute(word, to); });
}

MODERNGPT2_INLINE void AffixBpeModel::encode_with_dropout(std::string_view word, std::vector<int>& ids, double dropout,
                                                          Rng& random) const {
  if (dropout <= 0) return encode(word, ids);
  std::vector<int> symbols = symbols_of(word);
  for (std::span<int> rest = symbols; !rest.empty();) {
    const auto part = rest.first(std::min(rest.size(), dropout_part));
    const std::size_t count = merge_with_dropout(merges_, part, dropout, random);
    ids.insert(ids.end(), part.begin(), part.begin() + static_cast<std::ptrdiff_t>(count));
    rest = rest.subspan(part.size());
  }
}

MODERNGPT2_INLINE std::vector<int> AffixBpeModel::symbols_of(std::string_view word) const {
  std::vector<int> symbols;
  bool pending_unk = false;  // as in `tokenizers`: written before the next known character, after any byte tokens
  std::string symbol;
  for (std::size_t at = 0; at < word.size();) {
    const std::size_t length = utf8_length(word[at]);
    symbol.clear();
    if (at > 0) symbol += options_.continuing_subword_prefix;
    symbol += word.substr(at, length);
    at += length;
    if (at >= word.size()) symbol += options_.end_of_word_suffix;
    if (const int id = ids_.find(symbol); id >= 0) {
      if (pending_unk) symbols.push_back(options_.unk_id);
      pending_unk = false;
      symbols.push_back(id);
      continue;
    }
    const auto byte_id = [&](char c) { return options_.byte_ids[static_cast<unsigned char>(c)]; };
    if (std::all_of(symbol.begin(), symbol.end(), [&](char c) { return byte_id(c) >= 0; })) {
      for (const char c : symbol) symbols.push_back(byte_id(c));
    } else if (options_.unk_id >= 0) {
      if (pending_unk && !options_.fuse_unk) symbols.push_back(options_.unk_id);
      pending_unk = true;
    }
  }
  if (pending_unk) symbols.push_back(options_.unk_id);
  return symbols;
}

MODERNGPT2_INLINE void AffixBpeModel::compute(std::string_view word, std::vector<int>& ids) const {
  if (options_.ignore_merges)
    if (const int id = ids_.find(word); id >= 0) return ids.push_back(id);
  std::vector<int> symbols = symbols_of(word);
  if (symbols.size() >= std::size_t{1} << 31)
    throw Error("tokenizer: a word of {} bytes is too long to merge. Split the document", word.size());
  merges_.merge_all(symbols, ids);
}

}  // namespace moderngpt2::detail

#endif
