#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/tokenizer/component.hpp"
#include "moderngpt2/tokenizer/normalizers/rewrite.hpp"
#include "moderngpt2/tokenizer/unicode_properties.hpp"

#if !__has_include(<utf8proc.h>)
#error "moderngpt2: <utf8proc.h> not found: link moderngpt2::moderngpt2"
#endif
#include <utf8proc.h>

namespace moderngpt2::detail {

/// Normalization form in Unicode 9.0, the version of Hugging Face `tokenizers`. Characters of later versions are copied
/// and separate the text around them. Decompositions come from utf8proc; those of assigned characters never change.
class NormalForm {
 public:
  NormalForm(bool compose, bool compatible);

  /// Normal form of `text`: `text` itself if it is normal, else `storage`. Time is linear in the text, except for
  /// sorting runs of marks.
  std::string_view operator()(std::string_view text, std::string& storage) const;

 private:
  // Classes of characters besides the combining class (1 to 240) of marks that do not change:
  static constexpr std::uint8_t inert = 0;  // never changes, nor do characters before and after depend on each other
  static constexpr std::uint8_t changes = 255;  // may change, or may combine with a character before it

  void append_segment(std::string_view segment, std::vector<utf8proc_int32_t>& codes, std::string& out) const;
  static CodePointMap classes(bool compose, bool compatible);

  bool compose_;
  int options_;
  CodePointMap classes_;
};

/// Normalization form, built at the first use.
template <bool compose, bool compatible>
const NormalForm& normal_form() {
  static const NormalForm form(compose, compatible);
  return form;
}

template <bool compose, bool compatible>
struct FormNormalizer {
  static constexpr std::string_view type = compatible ? (compose ? "NFKC" : "NFKD") : (compose ? "NFC" : "NFD");

  explicit FormNormalizer(const Component& component) { component.expect({}); }

  std::string_view operator()(std::string_view text, std::string& storage) const {
    if (const std::size_t ascii = ascii_words(text, 0); ascii == text.size()) return text;
    return normal_form<compose, compatible>()(text, storage);
  }
};

using NfcNormalizer = FormNormalizer<true, false>;
using NfdNormalizer = FormNormalizer<false, false>;
using NfkcNormalizer = FormNormalizer<true, true>;
using NfkdNormalizer = FormNormalizer<false, true>;

#ifndef MODERNGPT2_DECLARE_FILES

MODERNGPT2_INLINE NormalForm::NormalForm(bool compose, bool compatible)
    : compose_(compose),
      options_(UTF8PROC_STABLE | (compose ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE) |
               (compatible ? UTF8PROC_COMPAT : 0)),
      classes_(classes(compose, compatible)) {}

MODERNGPT2_INLINE CodePointMap NormalForm::classes(bool compose, bool compatible) {
  std::vector<std::uint8_t> result(code_point_count, inert);
  std::array<utf8proc_int32_t, 32> codes;
  const auto decompose = [&](char32_t c, int options) {
    int last_class = 0;
    const auto count = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), codes.data(), codes.size(),
                                               static_cast<utf8proc_option_t>(options), &last_class);
    return std::min(static_cast<std::size_t>(std::max<utf8proc_ssize_t>(count, 0)), codes.size());
  };
  const int options = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | (compatible ? UTF8PROC_COMPAT : 0);
  for (char32_t c = 0x80; c < code_point_count; ++c) {
    if (is_after_unicode_9(c)) continue;
    const auto* property = utf8proc_get_property(static_cast<utf8proc_int32_t>(c));
    const bool is_hangul = c >= 0xAC00 && c <= 0xD7A3;
    if (property->combining_class > 0) result[c] = static_cast<std::uint8_t>(property->combining_class);
    if (property->decomp_seqindex == UINT16_MAX && !is_hangul) continue;
    const std::size_t count = decompose(c, options);
    if (count == 1 && codes[0] == static_cast<utf8proc_int32_t>(c)) continue;
    if (!compose) {
      result[c] = changes;
      continue;
    }
    const auto composed = utf8proc_normalize_utf32(codes.data(), static_cast<utf8proc_ssize_t>(count),
                                                   static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
    if (composed != 1 || codes[0] != static_cast<utf8proc_int32_t>(c)) result[c] = changes;
  }
  if (!compose) return CodePointMap(result);
  // Characters that may combine with the one before them: all but the first of any canonical decomposition.
  for (char32_t c = 0x80; c < code_point_count; ++c) {
    if (utf8proc_get_property(static_cast<utf8proc_int32_t>(c))->decomp_seqindex == UINT16_MAX) continue;
    if (is_after_unicode_9(c)) continue;
    const std::size_t count = decompose(c, UTF8PROC_STABLE | UTF8PROC_DECOMPOSE);
    for (std::size_t i = 1; i < count; ++i) result[static_cast<std::size_t>(codes[i])] = changes;
  }
  for (std::size_t c = 0x1161; c <= 0x1175; ++c) result[c] = changes;  // vowels and final consonants of Hangul
  for (std::size_t c = 0x11A8; c <= 0x11C2; ++c) result[c] = changes;
  return CodePointMap(result);
}

MODERNGPT2_INLINE std::string_view NormalForm::operator()(std::string_view text, std::string& storage) const {
  std::vector<utf8proc_int32_t> codes;
  std::string normal;
  std::size_t copied = 0, starter = 0;  // begin of the last inert character
  std::uint8_t last = 0;
  bool changed = false;
  for (std::size_t at = 0; at < text.size();) {
    if (static_cast<unsigned char>(text[at]) < 0x80) {
      if (const std::size_t ascii = ascii_words(text, at); ascii > 0)
        at += ascii;
      else
        ++at;
      starter = at - 1;
      last = 0;
      continue;
    }
    const std::size_t length = utf8_length(text[at]);
    const std::uint8_t kind = classes_[utf8_decode(text, at, length)];
    if (kind == inert) {
      starter = at;
      last = 0;
      at += length;
      continue;
    }
    if (kind != changes && kind >= last) {
      last = kind;
      at += length;
      continue;
    }
    std::size_t end = at + length;
    while (end < text.size() && classes_[utf8_decode(text, end, utf8_length(text[end]))] != inert)
      end += utf8_length(text[end]);
    normal.clear();
    const std::string_view segment = text.substr(starter, end - starter);
    append_segment(segment, codes, normal);
    if (normal != segment) {
      if (!changed) {
        storage.clear();
        storage.reserve(text.size() + text.size() / 8);
      }
      changed = true;
      storage.append(text, copied, starter - copied).append(normal);
      copied = end;
    }
    starter = at = end;
    last = 0;
  }
  if (!changed) return text;
  storage.append(text, copied);
  return storage;
}

/// Appends the normal form of an inert character, if there is one, and the others that follow it.
MODERNGPT2_INLINE void NormalForm::append_segment(std::string_view segment, std::vector<utf8proc_int32_t>& codes,
                                                  std::string& out) const {
  codes.clear();
  const auto combining_class = [](utf8proc_int32_t c) { return utf8proc_get_property(c)->combining_class; };
  for (std::size_t at = 0; at < segment.size();) {
    const std::size_t length = utf8_length(segment[at]);
    const char32_t c = utf8_decode(segment, at, length);
    at += length;
    if (c < 0x80 || is_after_unicode_9(c)) {
      codes.push_back(static_cast<utf8proc_int32_t>(c));
      continue;
    }
    std::array<utf8proc_int32_t, 32> parts;
    int last_class = 0;
    const auto count = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), parts.data(), parts.size(),
                                               static_cast<utf8proc_option_t>(options_), &last_class);
    if (count > 0 && count <= static_cast<utf8proc_ssize_t>(parts.size()))
      codes.insert(codes.end(), parts.begin(), parts.begin() + count);
  }
  const std::size_t first =
      codes.empty() || codes[0] < 0x80 || !is_after_unicode_9(static_cast<char32_t>(codes[0])) ? 0 : 1;
  for (std::size_t begin = first; begin < codes.size();) {  // sort each run of marks by combining class
    if (combining_class(codes[begin]) == 0) {
      ++begin;
      continue;
    }
    std::size_t end = begin;
    while (end < codes.size() && combining_class(codes[end]) != 0) ++end;
    const auto less = [&](utf8proc_int32_t a, utf8proc_int32_t b) { return combining_class(a) < combining_class(b); };
    const auto from = codes.begin() + static_cast<std::ptrdiff_t>(begin),
               to = codes.begin() + static_cast<std::ptrdiff_t>(end);
    if (!std::is_sorted(from, to, less)) std::stable_sort(from, to, less);
    begin = end;
  }
  std::size_t count = codes.size();
  if (compose_ && count > first)
    count = first + static_cast<std::size_t>(std::max<utf8proc_ssize_t>(
                        0, utf8proc_normalize_utf32(codes.data() + first, static_cast<utf8proc_ssize_t>(count - first),
                                                    static_cast<utf8proc_option_t>(options_))));
  for (std::size_t i = 0; i < count; ++i) append_utf8(static_cast<char32_t>(codes[i]), out);
}

#endif  // MODERNGPT2_DECLARE_FILES

}  // namespace moderngpt2::detail
