#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/data/shell_command.hpp"
#include "moderngpt2/data/text_files.hpp"
#include "moderngpt2/tokenizer/utf8.hpp"

namespace moderngpt2 {

/// Number of bytes of a text that are not UTF-8, and the place of the first.
struct InvalidUtf8 {
  std::int64_t bytes = 0;
  std::size_t first = 0;  ///< offset in the text, if `bytes` is positive
};

/// Counts the bytes of `text` in ill-formed UTF-8 sequences, and zero bytes: text files have none, but UTF-16 text
/// does. Valid text costs one pass at a few GB/s.
InvalidUtf8 find_invalid_utf8(std::string_view text);

/// Encoding of a text that is not UTF-8, as iconv names it; empty if none fits. Detects UTF-16, UTF-32, SHIFT-JIS,
/// EUC-JP, EUC-KR, BIG5, GB18030 and WINDOWS-1252 by byte-order marks, by sequences that are valid in the encoding, and
/// by its frequent characters. `bytes`: the beginning of a file, or a part of it.
std::string_view guess_encoding(std::string_view bytes);

/// Sentence for an Error about a file that is not UTF-8: what to do, with the encoding that `bytes` look like.
std::string encoding_advice(const TextFile& file, std::string_view bytes);

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2 {

MODERNGPT2_INLINE InvalidUtf8 find_invalid_utf8(std::string_view text) {
  InvalidUtf8 found;
  const auto add = [&](std::size_t at, std::size_t bytes) {
    if (found.bytes == 0 || at < found.first) found.first = at;
    found.bytes += static_cast<std::int64_t>(bytes);
  };
  for (std::size_t at = valid_utf8_prefix(text); at < text.size(); at += valid_utf8_prefix(text.substr(at))) {
    const std::size_t length = detail::utf8_step(text, at).length;
    add(at, length);
    at += length;
  }
  const char* zero = text.data();
  const char* const end = text.data() + text.size();
  while (zero != end && (zero = static_cast<const char*>(std::memchr(zero, 0, static_cast<std::size_t>(end - zero)))))
    add(static_cast<std::size_t>(zero++ - text.data()), 1);
  return found;
}

}  // namespace moderngpt2

namespace moderngpt2::detail {

/// Range of byte values.
struct ByteRange {
  unsigned char first = 1, last = 0;  // empty
  constexpr bool has(unsigned char byte) const { return first <= byte && byte <= last; }
};

/// Encoding with characters of one or two bytes, and the lead bytes of its frequent characters.
struct DoubleByteEncoding {
  const char* name;
  std::array<ByteRange, 2> lead, trail;
  ByteRange single;  // characters of one byte besides ASCII
  std::array<ByteRange, 2> frequent;
  double least_frequent_share;  // minimum fraction of frequent characters, among those of two bytes
};

// In the order of testing: an encoding whose valid sequences are rarer in other encodings comes first. Frequent: kana
// in Japanese, Hangul, the 5401 common characters of Big5, and the 3755 of GB 2312.
inline constexpr std::array<DoubleByteEncoding, 5> double_byte_encodings{
    DoubleByteEncoding{"SHIFT-JIS",
                       {{{0x81, 0x9F}, {0xE0, 0xFC}}},
                       {{{0x40, 0x7E}, {0x80, 0xFC}}},
                       {0xA1, 0xDF},
                       {{{0x82, 0x83}, {}}},
                       0.2},
    DoubleByteEncoding{"EUC-JP", {{{0xA1, 0xFE}, {0x8E, 0x8E}}}, {{{0xA1, 0xFE}, {}}}, {}, {{{0xA4, 0xA5}, {}}}, 0.2},
    DoubleByteEncoding{"EUC-KR", {{{0xA1, 0xFE}, {}}}, {{{0xA1, 0xFE}, {}}}, {}, {{{0xB0, 0xC8}, {0xA1, 0xA3}}}, 0.97},
    DoubleByteEncoding{
        "BIG5", {{{0xA1, 0xF9}, {}}}, {{{0x40, 0x7E}, {0xA1, 0xFE}}}, {}, {{{0xA4, 0xC6}, {0xA1, 0xA1}}}, 0.9},
    DoubleByteEncoding{
        "GB18030", {{{0x81, 0xFE}, {}}}, {{{0x40, 0x7E}, {0x80, 0xFE}}}, {}, {{{0xB0, 0xD7}, {0xA1, 0xA3}}}, 0.7}};

inline bool has_byte(const std::array<ByteRange, 2>& ranges, unsigned char byte) {
  return ranges[0].has(byte) || ranges[1].has(byte);
}

/// Whether at most 1% of the characters of two bytes are invalid, and enough are frequent ones.
inline bool fits(const DoubleByteEncoding& encoding, std::string_view bytes) {
  std::int64_t pairs = 0, invalid = 0, frequent = 0;
  for (std::size_t i = 0; i + 1 < bytes.size(); ++i) {
    const auto lead = static_cast<unsigned char>(bytes[i]), trail = static_cast<unsigned char>(bytes[i + 1]);
    if (lead < 0x80 || encoding.single.has(lead)) continue;
    ++pairs;
    if (has_byte(encoding.lead, lead) && has_byte(encoding.trail, trail))
      frequent += has_byte(encoding.frequent, lead), ++i;
    else
      ++invalid;
  }
  return pairs > 0 && invalid * 100 <= pairs &&
         static_cast<double>(frequent) >= encoding.least_frequent_share * static_cast<double>(pairs);
}

/// Fraction of the 16-bit units that are frequent characters in UTF-16; ideographs count half, because bytes of ASCII
/// in the wrong order look like them.
inline double utf16_score(std::string_view bytes, std::size_t high) {
  constexpr std::array<std::array<unsigned, 2>, 8> scripts{{{0x20, 0x7E},
                                                            {0xA0, 0x24F},
                                                            {0x370, 0x52F},
                                                            {0x2010, 0x206F},
                                                            {0x3000, 0x30FF},
                                                            {0xAC00, 0xD7A3},
                                                            {0xFF00, 0xFFEF},
                                                            {0x9, 0xD}}};
  double score = 0;
  const std::size_t units = bytes.size() / 2;
  for (std::size_t i = 0; i < units; ++i) {
    const unsigned unit = static_cast<unsigned>(static_cast<unsigned char>(bytes[2 * i + high])) << 8 |
                          static_cast<unsigned char>(bytes[2 * i + 1 - high]);
    for (const auto& [first, last] : scripts) score += first <= unit && unit <= last;
    score += 0x4E00 <= unit && unit <= 0x9FFF ? 0.5 : 0;
  }
  return units > 0 ? score / static_cast<double>(units) : 0;
}

/// Fraction of zeros among the bytes at offset `place` of each four: in UTF-32, those of code points below
/// U+10000 have zeros at two adjacent places.
inline double zeros_at(std::string_view bytes, std::size_t place) {
  std::size_t zeros = 0;
  for (std::size_t i = place; i < bytes.size(); i += 4) zeros += bytes[i] == '\0';
  return bytes.size() < 4 ? 0 : static_cast<double>(zeros) / static_cast<double>((bytes.size() - place + 3) / 4);
}

/// Whether few bytes are beyond ASCII, and most of those stand beside an ASCII letter, as accented letters and quotes
/// do.
inline bool looks_like_latin(std::string_view bytes) {
  const auto is_letter = [&](std::size_t i) {
    const char c = i < bytes.size() ? static_cast<char>(bytes[i] | 0x20) : ' ';
    return c >= 'a' && c <= 'z';
  };
  std::size_t high = 0, beside_letters = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (static_cast<unsigned char>(bytes[i]) < 0x80) continue;
    ++high;
    beside_letters += is_letter(i + 1) || (i > 0 && is_letter(i - 1));
  }
  return high > 0 && high * 4 <= bytes.size() && beside_letters * 10 >= high * 7;
}

/// Whether a text is UTF-8 but for a few zero bytes, as in a damaged file. UTF-16 has more zeros, bytes that are not
/// UTF-8, or the high bytes of its script, which are control characters.
inline bool has_stray_zeros(std::string_view bytes) {
  const auto zeros = std::count(bytes.begin(), bytes.end(), '\0');
  const bool control = std::any_of(bytes.begin(), bytes.end(), [](char c) {
    return (c > 0 && c < '\t') || (c > '\r' && c < ' ');
  });
  return zeros > 0 && static_cast<std::size_t>(zeros) * 8 < bytes.size() && !control &&
         find_invalid_utf8(bytes).bytes == zeros;
}

}  // namespace moderngpt2::detail

namespace moderngpt2 {

MODERNGPT2_INLINE std::string_view guess_encoding(std::string_view bytes) {
  using namespace std::string_view_literals;
  if (bytes.starts_with("\xFF\xFE\0\0"sv) || bytes.starts_with("\0\0\xFE\xFF"sv)) return "UTF-32";
  if (bytes.starts_with("\xFF\xFE"sv) || bytes.starts_with("\xFE\xFF"sv)) return "UTF-16";
  if (detail::has_stray_zeros(bytes)) return "";
  if (bytes.find('\0') != bytes.npos) {
    if (detail::zeros_at(bytes, 3) > 0.99 && detail::zeros_at(bytes, 2) > 0.9) return "UTF-32LE";
    if (detail::zeros_at(bytes, 0) > 0.99 && detail::zeros_at(bytes, 1) > 0.9) return "UTF-32BE";
    const double little = detail::utf16_score(bytes, 1), big = detail::utf16_score(bytes, 0);
    if (std::max(little, big) >= 0.4) return little > big ? "UTF-16LE" : "UTF-16BE";
    return "";
  }
  for (const detail::DoubleByteEncoding& encoding : detail::double_byte_encodings)
    if (detail::fits(encoding, bytes)) return encoding.name;
  return detail::looks_like_latin(bytes) ? "WINDOWS-1252" : "";
}

MODERNGPT2_INLINE std::string encoding_advice(const TextFile& file, std::string_view bytes) {
  if (detail::has_stray_zeros(bytes))
    return "It contains zero bytes, which are not text: restore the file, or remove them (tr -d '\\000').";
  const std::string_view encoding = guess_encoding(bytes);
  if (encoding.empty()) return "Convert the text to UTF-8.";
  if (file.format.content == TextFormat::Content::parquet)
    return fmt::format("It looks like {}: convert the column to UTF-8.", encoding);
  return fmt::format("It looks like {0}: convert it with {1}", encoding,
                     shell_command(file, fmt::format("iconv -f {} -t UTF-8", encoding)));
}

}  // namespace moderngpt2

#endif
