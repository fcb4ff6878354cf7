#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/tokenizer/models/bpe.hpp"

namespace moderngpt2::detail {

/// Model of a tokenizer file: vocabulary, merges or scores, and settings. Every referenced token exists.
struct ModelFile {
  enum class Kind { bpe, unigram, word_piece, word_level };

  Kind kind = Kind::bpe;
  std::vector<std::string> tokens;           ///< by id; empty where there is none
  std::vector<bool> exists;                  ///< by id
  std::unordered_map<std::string, int> ids;  ///< by token
  std::size_t count = 0;                     ///< tokens, without holes
  std::vector<double> scores;                ///< unigram, by id
  std::vector<BpeMerge> merges;              ///< BPE, by rank
  BpeOptions options;                        ///< BPE; unk and byte fallback apply to unigram too
  double dropout = 0;                        ///< BPE-dropout; no effect unless asked for
  std::string prefix;                        ///< WordPiece: begins tokens inside a word
  std::size_t longest_word = 100;            ///< WordPiece: in characters; longer words are unknown

  int size() const { return static_cast<int>(tokens.size()); }  ///< highest id + 1

  /// Adds a token. Throws Error for an id that is negative, taken or too high.
  void add(const std::string& token, std::int64_t id, std::size_t tokens_in_file, const std::string& where);
};

}  // namespace moderngpt2::detail

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

MODERNGPT2_INLINE void ModelFile::add(const std::string& token, std::int64_t id, std::size_t tokens_in_file,
                                      const std::string& where) {
  // Memory grows with the highest id: limit it for files with few tokens.
  constexpr std::size_t allowed = std::size_t{1} << 22;
  if (id < 0) throw Error("{}: the vocabulary gives {} the negative id {}", where, excerpt(token, 40), id);
  const auto at = static_cast<std::size_t>(id);
  if (at >= allowed && at / 2 >= tokens_in_file)
    throw Error("{}: the vocabulary gives {} the id {}, but has only {} tokens. Number them from 0.", where,
                excerpt(token, 40), id, tokens_in_file);
  if (at >= tokens.size()) {
    tokens.resize(at + 1);
    exists.resize(at + 1);
  }
  if (exists[at])
    throw Error("{}: the vocabulary gives the id {} to both {} and {}", where, id, excerpt(tokens[at], 40),
                excerpt(token, 40));
  exists[at] = true;
  tokens[at] = token;
  ids.insert_or_assign(token, static_cast<int>(id));
  ++count;
}

}  // namespace moderngpt2::detail

#endif
