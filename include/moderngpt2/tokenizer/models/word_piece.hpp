#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/core/utf8.hpp"
#include "moderngpt2/tokenizer/byte_trie.hpp"
#include "moderngpt2/tokenizer/models/token_ids.hpp"
#include "moderngpt2/tokenizer/models/word_cache.hpp"

namespace moderngpt2::detail {

/// WordPiece model of BERT: takes the longest token that begins the word, then the longest that continues it, and so
/// on. A word that cannot be written this way, or with too many characters, becomes the unknown token.
class WordPieceModel {
 public:
  /// `vocabulary[id]` is the text of each id (empty: none). Tokens that continue a word begin with `prefix`. `unk_id`:
  /// -1 if the vocabulary has no unknown token.
  WordPieceModel(std::span<const std::string> vocabulary, std::string_view prefix, int unk_id,
                 std::size_t max_input_chars_per_word);

  /// Appends the ids of `piece`, which must be valid UTF-8. Throws Error if it needs a missing unknown token.
  void encode(std::string_view piece, std::vector<int>& ids) const {
    if (!piece.empty()) encode(Pieces{{&piece, 1}, piece.data() + piece.size()}, ids);
  }
  void encode(const Pieces& text, std::vector<int>& ids) const;

 private:
  void compute(std::string_view piece, std::vector<int>& ids) const;

  ByteTrie first_, next_;
  int unk_id_;
  std::size_t most_characters_;
  WordCache cache_;
};

/// WordLevel model: each piece is one token, or the unknown token.
class WordLevelModel {
 public:
  /// `vocabulary[id]` is the text of each id (empty: none). `unk_id` is -1 if the vocabulary has no unknown token.
  WordLevelModel(std::span<const std::string> vocabulary, int unk_id) : ids_(vocabulary), unk_id_(unk_id) {}

  /// Appends the id of `piece`. Throws Error if it needs a missing unknown token.
  void encode(std::string_view piece, std::vector<int>& ids) const;

 private:
  TokenIds ids_;
  int unk_id_;
};

/// Throws Error for a piece that needs the unknown token in a vocabulary without one.
[[noreturn]] void fail_without_unk(std::string_view model, std::string_view piece);

}  // namespace moderngpt2::detail

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

MODERNGPT2_INLINE WordPieceModel::WordPieceModel(std::span<const std::string> vocabulary, std::string_view prefix,
                                                 int unk_id, std::size_t max_input_chars_per_word)
    : unk_id_(unk_id), most_characters_(max_input_chars_per_word) {
  for (std::size_t id = 0; id < vocabulary.size(); ++id) {
    const std::string& token = vocabulary[id];
    if (token.empty()) continue;
    first_.insert(token, static_cast<int>(id));
    if (token.size() > prefix.size() && token.starts_with(prefix))
      next_.insert(std::string_view(token).substr(prefix.size()), static_cast<int>(id));
  }
}

MODERNGPT2_INLINE void WordPieceModel::encode(const Pieces& text, std::vector<int>& ids) const {
  cache_.encode(text, ids, [this](std::string_view word, std::vector<int>& to) { compute(word, to); });
}

MODERNGPT2_INLINE void WordPieceModel::compute(std::string_view piece, std::vector<int>& ids) const {
  const std::size_t before = ids.size();
  std::size_t characters = 0;
  for (const char c : piece) characters += !is_utf8_continuation(c);
  bool is_known = characters <= most_characters_;
  for (std::size_t at = 0; is_known && at < piece.size();) {
    std::size_t length = 0;
    int id = -1;
    (at == 0 ? first_ : next_).for_each_prefix(piece.substr(at), [&](std::size_t size, int found) {
      length = size;
      id = found;
    });
    is_known = id >= 0;
    ids.push_back(id);
    at += length;
  }
  if (is_known) return;
  ids.resize(before);
  if (unk_id_ < 0) fail_without_unk("WordPiece", piece);
  ids.push_back(unk_id_);
}

MODERNGPT2_INLINE void WordLevelModel::encode(std::string_view piece, std::vector<int>& ids) const {
  if (piece.empty()) return;
  int id = ids_.find(piece);
  if (id < 0) id = unk_id_;
  if (id < 0) fail_without_unk("WordLevel", piece);
  ids.push_back(id);
}

MODERNGPT2_INLINE void fail_without_unk(std::string_view model, std::string_view piece) {
  throw Error(
      "tokenizer: the text has {}, and the {} vocabulary has neither it nor an unknown token. Add an unknown token to "
      "the vocabulary",
      excerpt(piece, 40), model);
}

}  // namespace moderngpt2::detail

#endif
