#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/core/utf8.hpp"
#include "moderngpt2/tokenizer/regex_library.hpp"
#include "moderngpt2/tokenizer/regex_replacer.hpp"
#include "moderngpt2/tokenizer/regex_translate.hpp"

namespace moderngpt2::detail {

/// Compiled regular expression in the syntax and with the Unicode version (16) of Hugging Face `tokenizers`
/// (Oniguruma). Matches with PCRE2. Copies share the compiled pattern. Safe to use from several threads.
class Regex {
 public:
  /// `where` begins errors, such as "tokenizer.json: pre_tokenizer". Throws Error if the pattern is invalid or not
  /// supported.
  Regex(std::string_view pattern, std::string where);

  /// Calls f(begin, end) with the bytes of each match in order. Matches do not overlap; an empty match at the end of
  /// the last match is skipped. No match in an empty text. `text` is valid UTF-8. Throws Error if a match exceeds the
  /// limits on steps, memory or time.
  template <class F>
  void for_each_match(std::string_view text, F&& f) const {
    if (text.empty()) return;
    RegexMatcher matcher(*code_, text.size());
    std::string storage;
    if (replaces_) text = replace_new_characters(text, storage);
    constexpr std::size_t none = static_cast<std::size_t>(-1);
    std::size_t at = 0, last_end = none;
    while (at <= text.size() && matcher.search(text, at)) {
      const std::size_t begin = matcher.begin(), end = matcher.end();
      if (begin == end && end == last_end) {
        at += at < text.size() ? utf8_length(text[at]) : 1;
        continue;
      }
      at = last_end = end;
      f(begin, end);
    }
  }

  /// Pattern in the syntax of PCRE2, as compiled.
  const std::string& translated() const { return code_->translated(); }

 private:
  std::shared_ptr<const RegexCode> code_;
  bool replaces_ = false;
};

#ifndef MODERNGPT2_DECLARE_FILES

MODERNGPT2_INLINE Regex::Regex(std::string_view pattern, std::string where) {
  TranslatedRegex translated = translate_regex(pattern, where);
  replaces_ = translated.uses_categories;
  code_ = std::make_shared<const RegexCode>(std::string(pattern), std::move(translated.pattern), std::move(where));
}

#endif  // MODERNGPT2_DECLARE_FILES

}  // namespace moderngpt2::detail
