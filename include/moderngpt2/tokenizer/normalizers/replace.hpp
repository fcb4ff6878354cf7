#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "moderngpt2/tokenizer/component.hpp"
#include "moderngpt2/tokenizer/normalizers/growth.hpp"
#include "moderngpt2/tokenizer/regex.hpp"

namespace moderngpt2::detail {

/// Normalizer Replace: replaces every match of a text or of a regular expression by a text.
struct ReplaceNormalizer {
  static constexpr std::string_view type = "Replace";

  explicit ReplaceNormalizer(const Component& component) {
    component.expect({"pattern", "content"});
    content_ = component.get<std::string>("content");
    const Component pattern = component.inner(component.field("pattern"), "pattern");
    pattern.expect({"String", "Regex"});
    if (pattern.json().size() != 1) pattern.fail("must have one of the fields String and Regex");
    if (pattern.json().contains("String")) {
      text_ = pattern.get<std::string>("String");
      if (text_->empty()) regex_.emplace("", component.where());
    } else {
      regex_.emplace(pattern.get<std::string>("Regex"), component.where());
    }
  }

  /// Text that is replaced; nullopt for a regular expression.
  const std::optional<std::string>& pattern() const { return text_; }
  const std::string& content() const { return content_; }

  std::string_view operator()(std::string_view text, std::string& storage) const {
    std::size_t copied = 0;
    bool changed = false;
    const auto replace = [&](std::size_t begin, std::size_t end) {
      if (!changed) {
        storage.clear();
        storage.reserve(text.size() + text.size() / 4);
      }
      changed = true;
      check_growth(storage.size() + content_.size(), text.size());
      storage.append(text, copied, begin - copied).append(content_);
      copied = end;
    };
    if (regex_) {
      regex_->for_each_match(text, replace);
    } else {
      for (std::size_t at = 0; (at = text.find(*text_, at)) != text.npos;) {
        replace(at, at + text_->size());
        at += text_->size();
      }
    }
    if (!changed) return text;
    storage.append(text, copied);
    return storage;
  }

 private:
  std::optional<std::string> text_;
  std::optional<Regex> regex_;
  std::string content_;
};

}  // namespace moderngpt2::detail
