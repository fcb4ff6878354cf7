#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/tokenizer/byte_trie.hpp"
#include "moderngpt2/tokenizer/unicode_classes.hpp"
#include "moderngpt2/tokenizer/utf8.hpp"

namespace moderngpt2 {

/// Token that is matched in the text before the model runs. Fields as in Hugging Face `tokenizers`.
struct AddedToken {
  int id = 0;
  std::string content;
  bool single_word = false;  ///< matches only without adjacent word characters
  bool lstrip = false;       ///< includes white space before it
  bool rstrip = false;       ///< includes white space after it
  bool normalized = false;   ///< matches the normalized text
  bool special = false;      ///< omitted from decoded text with skip_special_tokens
};

/// Entry of added_tokens in a tokenizer.json.
inline Json added_token_json(const AddedToken& token) {
  Json json;
  json["id"] = token.id;
  json["content"] = token.content;
  json["single_word"] = token.single_word;
  json["lstrip"] = token.lstrip;
  json["rstrip"] = token.rstrip;
  json["normalized"] = token.normalized;
  json["special"] = token.special;
  return json;
}

namespace detail {

/// Splits a text at its added tokens: leftmost first, the longest at each position, without overlaps.
class AddedTokenMatcher {
 public:
  /// Adds a token that matches `pattern`: its content or its normalized form.
  void add(const AddedToken& token, std::string_view pattern);

  bool empty() const { return tokens_.empty(); }

  /// Calls `on_text(piece)` and `on_token(id)` in text order. With `split_special`, special tokens are text.
  template <class OnText, class OnToken>
  void split(std::string_view text, bool split_special, OnText&& on_text, OnToken&& on_token) const {
    std::size_t done = 0, space_end = 0;  // end of the white space after the last token with rstrip
    for (std::size_t at = 0; (at = trie_.next_candidate(text, at)) < text.size();) {
      std::size_t length = 0;
      int found = -1;
      trie_.for_each_prefix(text.substr(at), [&](std::size_t l, int index) {
        length = l;
        found = index;
      });
      if (found < 0) {
        ++at;
        continue;
      }
      const AddedToken& token = tokens_[static_cast<std::size_t>(found)];
      std::size_t begin = at, end = at + length;
      at = end;
      if (split_special && token.special) continue;
      if (token.single_word && touches_word(text, begin, end)) continue;
      // Each character is read once, also where the tokens themselves are white space.
      if (token.lstrip) begin = std::max(begin_of_space_before(text, begin, done), done);
      if (token.rstrip) end = space_end = std::max(end_of_space_after(text, std::max(end, space_end)), end);
      if (done < begin) on_text(text.substr(done, begin - done));
      on_token(token.id);
      done = end;
    }
    if (done < text.size()) on_text(text.substr(done));
  }

 private:
  static char32_t character_before(std::string_view text, std::size_t end, std::size_t& begin);

  static bool touches_word(std::string_view text, std::size_t begin, std::size_t end);

  /// Beginning of the white space that ends at `end`, at least `first`.
  static std::size_t begin_of_space_before(std::string_view text, std::size_t end, std::size_t first);

  static std::size_t end_of_space_after(std::string_view text, std::size_t at);

  ByteTrie trie_;
  std::vector<AddedToken> tokens_;
};

}  // namespace detail
}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

MODERNGPT2_INLINE void AddedTokenMatcher::add(const AddedToken& token, std::string_view pattern) {
  trie_.insert(pattern, static_cast<int>(tokens_.size()));
  tokens_.push_back(token);
}

MODERNGPT2_INLINE char32_t AddedTokenMatcher::character_before(std::string_view text, std::size_t end,
                                                               std::size_t& begin) {
  begin = end - 1;
  while (is_utf8_continuation(text[begin])) --begin;
  return utf8_decode(text, begin, end - begin);
}

MODERNGPT2_INLINE bool AddedTokenMatcher::touches_word(std::string_view text, std::size_t begin, std::size_t end) {
  std::size_t ignored;
  if (begin > 0 && is_word_character(character_before(text, begin, ignored))) return true;
  return end < text.size() && is_word_character(utf8_decode(text, end, utf8_length(text[end])));
}

MODERNGPT2_INLINE std::size_t AddedTokenMatcher::begin_of_space_before(std::string_view text, std::size_t end,
                                                                       std::size_t first) {
  std::size_t begin = end;
  while (end > first && is_white_space(character_before(text, end, begin))) end = begin;
  return end;
}

MODERNGPT2_INLINE std::size_t AddedTokenMatcher::end_of_space_after(std::string_view text, std::size_t at) {
  while (at < text.size()) {
    const std::size_t length = utf8_length(text[at]);
    if (!is_white_space(utf8_decode(text, at, length))) break;
    at += length;
  }
  return at;
}

}  // namespace moderngpt2::detail

#endif
