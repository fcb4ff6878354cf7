#pragma once

#include <string>
#include <string_view>

#include "moderngpt2/tokenizer/component.hpp"
#include "moderngpt2/tokenizer/normalizers/lowercase.hpp"
#include "moderngpt2/tokenizer/normalizers/normal_forms.hpp"
#include "moderngpt2/tokenizer/normalizers/rewrite.hpp"
#include "moderngpt2/tokenizer/unicode_properties.hpp"

namespace moderngpt2::detail {

/// Normalizer BertNormalizer: removes control characters, separates Chinese characters, removes accents, lowercases.
struct BertNormalizer {
  static constexpr std::string_view type = "BertNormalizer";

  explicit BertNormalizer(const Component& component) {
    component.expect({"clean_text", "handle_chinese_chars", "strip_accents", "lowercase"});
    clean_ = component.get<bool>("clean_text");
    chinese_ = component.get<bool>("handle_chinese_chars");
    lower_ = component.get<bool>("lowercase");
    strip_ = component.get_or<bool>("strip_accents", lower_);
  }

  std::string_view operator()(std::string_view text, std::string& storage) const {
    if (ascii_words(text, 0) + 8 > text.size() && is_ascii(text)) return ascii(text, storage);
    std::string other;
    std::string_view result = rewrite_characters(
        text, storage,
        [&](char32_t c) {
          return (clean_ && (removed(c) || (c != ' ' && is_white_space(c)))) || (chinese_ && is_bert_chinese(c));
        },
        [&](char32_t c, std::string& out) {
          if (clean_ && removed(c)) return;
          if (clean_ && is_white_space(c)) {
            out += ' ';
            return;
          }
          out += ' ';
          append_utf8(c, out);
          out += ' ';
        });
    if (strip_) {
      result = normal_form<false, false>()(result, other);
      const auto is_mark = [](char32_t c) { return c >= 0x300 && is_nonspacing_mark(c); };
      const auto remove = [](char32_t, std::string&) {};
      std::string stripped;
      if (result.data() == text.data() || result.data() == storage.data())
        result = rewrite_characters(result, other, is_mark, remove);
      else if (const auto without = rewrite_characters(result, stripped, is_mark, remove);
               without.data() != result.data())
        other.swap(stripped), result = other;
    }
    if (lower_) {
      std::string lowered;
      const std::string_view small = to_lower_case(result, lowered);
      if (small.data() != result.data()) {
        storage.swap(lowered);
        return storage;
      }
    }
    if (result.data() == text.data() || result.data() == storage.data()) return result;
    storage.swap(other);
    return storage;
  }

 private:
  static bool is_ascii(std::string_view text) {
    unsigned char all = 0;
    for (const char c : text) all |= static_cast<unsigned char>(c);
    return all < 0x80;
  }
  static bool removed(char32_t c) {
    return c < 0x7F ? c < ' ' && c != '\t' && c != '\n' && c != '\r' : is_bert_removed(c);
  }
  std::string_view ascii(std::string_view text, std::string& storage) const {
    bool changed = false;
    for (const char c : text) changed |= (clean_ && (c < ' ' || c == 0x7F)) || (lower_ && c >= 'A' && c <= 'Z');
    if (!changed) return text;
    storage.clear();
    storage.reserve(text.size());
    for (const char c : text) {
      if (clean_ && (c < ' ' || c == 0x7F)) {
        if (is_white_space(static_cast<unsigned char>(c)) && !removed(static_cast<unsigned char>(c))) storage += ' ';
      } else {
        storage += static_cast<char>(lower_ && c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
      }
    }
    return storage;
  }

  bool clean_, chinese_, lower_, strip_;
};

}  // namespace moderngpt2::detail
