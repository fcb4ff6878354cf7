#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/tokenizer/component.hpp"
#include "moderngpt2/tokenizer/pre_tokenizers/split_behavior.hpp"
#include "moderngpt2/tokenizer/regex.hpp"
#include "moderngpt2/tokenizer/split_patterns.hpp"
#include "moderngpt2/tokenizer/splitters/cl100k_splitter.hpp"
#include "moderngpt2/tokenizer/splitters/deepseek_splitters.hpp"
#include "moderngpt2/tokenizer/splitters/gpt2_splitter.hpp"
#include "moderngpt2/tokenizer/splitters/o200k_splitter.hpp"

namespace moderngpt2::detail {

/// Matcher of a fixed text. The empty text matches before every character and at the end.
class LiteralSplitter {
 public:
  static constexpr bool covers = false;

  explicit LiteralSplitter(std::string text) : text_(std::move(text)) {}

  const std::string& text() const { return text_; }

  Match next(const char* p, const char* end) const {
    const auto left = static_cast<std::size_t>(end - p);
    const void* found = text_.size() == 1 ? std::memchr(p, static_cast<unsigned char>(text_[0]), left)
                                          : memmem(p, left, text_.data(), text_.size());
    if (!found) return {end, end};
    const char* begin = static_cast<const char*>(found);
    return {begin, begin + text_.size()};
  }

 private:
  std::string text_;
};

/// Regular-expression engine whose rules a pattern follows. `tiktoken` (Rust's fancy-regex): `$` is the end of the
/// text, `{1,3}+` possessive.
enum class PatternDialect { oniguruma, tiktoken };

/// Matcher of a pattern: a hand-written splitter if the pattern is known (equal character by character), else Regex.
using SplitMatcher =
    std::variant<Regex, LiteralSplitter, Gpt2Splitter, Cl100kSplitter<3, false>, Cl100kSplitter<3, true>,
                 Cl100kSplitter<1, false>, O200kSplitter<3, true>, O200kSplitter<1, false>, ThreeDigitsSplitter,
                 DeepSeekCjkSplitter, DeepSeekWordsSplitter>;

/// Part of a pattern that has another meaning in tiktoken than in Oniguruma (`$`, `^`, `{1,3}+`); empty if there is
/// none.
std::string_view differs_from_tiktoken(std::string_view pattern);

/// Matcher of a regular expression. `where` begins errors.
SplitMatcher make_split_matcher(std::string_view pattern, PatternDialect dialect, const std::string& where);

/// Pre-tokenizer Split: splits at the matches of a regular expression or of a text.
class SplitPreTokenizer {
 public:
  static constexpr std::string_view type = "Split";

  explicit SplitPreTokenizer(const Component& component);

  /// Emits only the matches of a pattern and drops the text between them, like tiktoken.
  SplitPreTokenizer(std::string_view pattern, PatternDialect dialect, const std::string& where)
      : matcher_(make_split_matcher(pattern, dialect, where)), behavior_(SplitBehavior::removed), invert_(true) {}

  const SplitMatcher& matcher() const { return matcher_; }
  SplitBehavior behavior() const { return behavior_; }
  bool invert() const { return invert_; }

  /// Whether a hand-written splitter replaces the regular expression.
  bool is_hand_written() const { return !std::holds_alternative<Regex>(matcher_); }

  template <class Emit>
  void operator()(Piece piece, Emit&& emit) const {
    std::visit([&](const auto& matcher) { split(matcher, piece, emit); }, matcher_);
  }

 private:
  template <class Matcher, class Emit>
  void split(const Matcher& matcher, Piece piece, Emit& emit) const {
    const char* p = piece.text.data();
    const char* end = p + piece.text.size();
    if constexpr (std::is_same_v<Matcher, Regex>) {
      PieceSplitter<Emit> splitter(piece, behavior_, invert_, emit);
      matcher.for_each_match(piece.text, [&](std::size_t from, std::size_t to) { splitter.match(p + from, p + to); });
      splitter.finish();
    } else {
      if constexpr (Matcher::covers) {
        if (behavior_ == SplitBehavior::isolated || (behavior_ == SplitBehavior::removed && invert_)) {
          while (p != end) {
            const char* next = matcher.next(p, end).end;
            emit(part_of(piece, p, next));
            p = next;
          }
          return;
        }
      }
      PieceSplitter<Emit> splitter(piece, behavior_, invert_, emit);
      while (p != end) {
        const Match match = matcher.next(p, end);
        if (match.begin == end) break;
        splitter.match(match.begin, match.end);
        p = match.end;
      }
      splitter.finish();
    }
  }

  SplitMatcher matcher_;
  SplitBehavior behavior_;
  bool invert_;
};

}  // namespace moderngpt2::detail

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

MODERNGPT2_INLINE std::string_view differs_from_tiktoken(std::string_view pattern) {
  bool in_set = false;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\')
      ++i;
    else if (c == '[' || c == ']')
      in_set = c == '[';
    else if (!in_set && (c == '^' || c == '$'))
      return pattern.substr(i, 1);
    else if (!in_set && pattern.substr(i).starts_with("}+"))
      return pattern.substr(i, 2);
    if (c == '[' && i + 1 < pattern.size() && pattern[i + 1] == '^') ++i;
  }
  return {};
}

MODERNGPT2_INLINE SplitMatcher make_split_matcher(std::string_view pattern, PatternDialect dialect,
                                                  const std::string& where) {
  namespace known = split_patterns;
  if (pattern == known::gpt2 || pattern == known::r50k) return Gpt2Splitter();
  if (pattern == known::llama3) return Cl100kSplitter<3, false>();
  if (pattern == known::qwen2) return Cl100kSplitter<1, false>();
  if (pattern == known::o200k) return O200kSplitter<3, true>();
  if (pattern == known::tekken) return O200kSplitter<1, false>();
  if (pattern == known::deepseek_digits) return ThreeDigitsSplitter();
  if (pattern == known::deepseek_cjk) return DeepSeekCjkSplitter();
  if (pattern == known::deepseek_words || pattern == known::deepseek_words_escaped) return DeepSeekWordsSplitter();
  if (pattern == known::cl100k && dialect == PatternDialect::tiktoken) return Cl100kSplitter<3, true>();
  if (dialect == PatternDialect::tiktoken)
    if (const auto part = differs_from_tiktoken(pattern); !part.empty())
      throw Error(
          "{}: the pattern contains {}, which is supported only in the patterns of tiktoken itself. Write the "
          "pattern without it, or name one: gpt2, cl100k, o200k.",
          where, excerpt(part));
  return Regex(pattern, where);
}

MODERNGPT2_INLINE SplitPreTokenizer::SplitPreTokenizer(const Component& component)
    : matcher_(Gpt2Splitter()),
      behavior_(read_split_behavior(component, component.get<std::string>("behavior"))),
      invert_(component.get<bool>("invert")) {
  component.expect({"pattern", "behavior", "invert"});
  const Json& pattern = component.field("pattern");
  const auto text = [&](const char* kind) -> const std::string* {
    if (!pattern.is_object() || pattern.size() != 1) return nullptr;
    const auto found = pattern.find(kind);
    return found != pattern.end() && found->is_string() ? &found->get_ref<const std::string&>() : nullptr;
  };
  if (const std::string* literal = text("String"); literal && !literal->empty()) {
    matcher_ = LiteralSplitter(*literal);
  } else if (literal) {
    matcher_ = Regex("", component.where());
  } else if (const std::string* regex = text("Regex")) {
    matcher_ = make_split_matcher(*regex, PatternDialect::oniguruma, component.where());
  } else {
    component.fail("pattern is {}, expected {{\"String\": ...}} or {{\"Regex\": ...}}", json_excerpt(pattern));
  }
}

}  // namespace moderngpt2::detail

#endif
