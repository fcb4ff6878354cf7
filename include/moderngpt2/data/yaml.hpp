#pragma once

#include <algorithm>
#include <cstddef>
#include <sstream>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#if !__has_include(<yaml-cpp/yaml.h>)
#error "moderngpt2: <yaml-cpp/yaml.h> not found: link moderngpt2::data (find_package(moderngpt2 COMPONENTS data))"
#endif
#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/printable.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/tokenizer/utf8.hpp"

namespace moderngpt2 {

/// Maximum nesting depth of a YAML file.
inline constexpr std::size_t max_yaml_depth = 100;
/// Maximum number of values in a YAML file.
inline constexpr std::size_t max_yaml_values = 1'000'000;

/// Parses a YAML file of one document. Throws Error that begins with `where` and names the line for invalid syntax, and
/// for what yaml-cpp accepts: duplicate keys (it keeps the first), a second document (it ignores it), a quoted text
/// without its closing quote (it takes the rest of the file as text), more than 100 levels or a million values, and
/// aliases, which let a short file stand for a long one.
YAML::Node load_yaml(const std::string& text, const std::string& where);

namespace detail {

/// Checks the events of yaml-cpp's parser; see load_yaml().
class YamlChecker : public YAML::EventHandler {
 public:
  YamlChecker(std::string_view text, const std::string& where) : text_(text), where_(where) {}

  void OnDocumentStart(const YAML::Mark& mark) override;
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t) override { count(mark); }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override { fail(mark, "aliases (*name) are not supported"); }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t, const std::string& value) override;
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {
    open(mark, false);
  }
  void OnSequenceEnd() override { levels_.pop_back(); }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {
    open(mark, true);
  }
  void OnMapEnd() override { levels_.pop_back(); }

 private:
  struct Level {
    bool is_map, key_is_next;
    std::unordered_set<std::string> keys;
  };

  [[noreturn]] void fail(const YAML::Mark& mark, std::string_view what) const {
    throw Error("{}:{}: {}", where_, mark.line + 1, what);
  }
  /// Counts a value. Returns whether it is a key of a map.
  bool count(const YAML::Mark& mark);
  void open(const YAML::Mark& mark, bool is_map);
  /// Whether the quoted text at byte `at` has a closing quote.
  bool is_closed(std::size_t at) const;

  std::string_view text_;
  const std::string& where_;
  std::vector<Level> levels_;
  std::size_t documents_ = 0, values_ = 0;
};

}  // namespace detail
}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2::detail {

MODERNGPT2_INLINE void YamlChecker::OnDocumentStart(const YAML::Mark& mark) {
  if (++documents_ > 1) fail(mark, "a second document: only one is supported");
}

MODERNGPT2_INLINE void YamlChecker::OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                                             const std::string& value) {
  const bool is_key = count(mark);
  // The mark is at the tag, if there is one. yaml-cpp's own tag of a quoted text is "!".
  std::size_t at = static_cast<std::size_t>(mark.pos);
  if (at < text_.size() && text_[at] == '!')
    at = text_.find_first_not_of(" \t", std::min(text_.find_first_of(" \t\n", at), text_.size()));
  const bool quoted = tag != "?" && at < text_.size() && (text_[at] == '"' || text_[at] == '\'');
  if (quoted && !is_closed(at)) fail(mark, "a quoted text has no closing quote");
  if (is_key && !levels_.back().keys.insert(value).second) fail(mark, excerpt(value) + " occurs twice");
}

MODERNGPT2_INLINE bool YamlChecker::count(const YAML::Mark& mark) {
  if (++values_ > max_yaml_values) fail(mark, fmt::format("more than {} values", max_yaml_values));
  if (levels_.empty() || !levels_.back().is_map) return false;
  return std::exchange(levels_.back().key_is_next, !levels_.back().key_is_next);
}

MODERNGPT2_INLINE void YamlChecker::open(const YAML::Mark& mark, bool is_map) {
  count(mark);
  if (levels_.size() == max_yaml_depth) fail(mark, fmt::format("nested more than {} levels deep", max_yaml_depth));
  levels_.push_back({is_map, is_map, {}});
}

MODERNGPT2_INLINE bool YamlChecker::is_closed(std::size_t at) const {
  const char quote = text_[at];
  for (++at; at < text_.size(); ++at) {
    if (quote == '"' && text_[at] == '\\') {
      ++at;
    } else if (text_[at] == quote) {
      if (quote == '"' || at + 1 == text_.size() || text_[at + 1] != quote) return true;
      ++at;  // '' is an apostrophe
    }
  }
  return false;
}

}  // namespace moderngpt2::detail

namespace moderngpt2 {

MODERNGPT2_INLINE YAML::Node load_yaml(const std::string& text, const std::string& where) {
  if (text.starts_with("\xef\xbb\xbf")) return load_yaml(text.substr(3), where);
  // yaml-cpp reads UTF-16 and UTF-32 too, whose positions are not those of the text.
  if (valid_utf8_prefix(text) != text.size()) throw Error("{}: not UTF-8: save it as UTF-8", where);
  if (const std::size_t zero = text.find('\0'); zero != text.npos)
    throw Error("{}:{}: a zero byte", where, std::count(text.begin(), text.begin() + std::ptrdiff_t(zero), '\n') + 1);
  try {
    std::istringstream stream(text);
    YAML::Parser parser(stream);
    detail::YamlChecker checker(text, where);
    while (parser.HandleNextDocument(checker)) continue;
    return YAML::Load(text);
  } catch (const YAML::Exception& error) {
    throw Error("{}:{}: not valid YAML: {}", where, error.mark.line + 1, error.msg);
  }
}

}  // namespace moderngpt2

#endif
