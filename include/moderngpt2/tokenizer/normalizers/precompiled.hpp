#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/core/utf8.hpp"
#include "moderngpt2/tokenizer/base64.hpp"
#include "moderngpt2/tokenizer/component.hpp"
#include "moderngpt2/tokenizer/graphemes.hpp"
#include "moderngpt2/tokenizer/utf8.hpp"

namespace moderngpt2::detail {

/// SentencePiece's precompiled character map. The bytes are: size of a trie in bytes (4 bytes), the trie as a double
/// array (Darts) of 32-bit units, and replacements that end with a zero byte. Values of the trie are offsets of
/// replacements.
class CharacterMap {
 public:
  /// Throws Error that begins with `where` if the bytes are not a map.
  CharacterMap(std::string_view bytes, std::string_view where);

  /// Replacement of the shortest prefix of `text` that is in the map; nullopt if none is. Offsets outside of the map
  /// are ignored.
  std::optional<std::string_view> find(std::string_view text) const;

 private:
  std::vector<std::uint32_t> units_;
  std::string replacements_;
};

/// Normalizer Precompiled: SentencePiece's character map, applied as the crate spm_precompiled does: to each grapheme
/// cluster of less than 6 bytes, else to each of its characters.
struct PrecompiledNormalizer {
  static constexpr std::string_view type = "Precompiled";

  explicit PrecompiledNormalizer(const Component& component)
      : PrecompiledNormalizer(read_map(component), component.where()) {}
  PrecompiledNormalizer(std::string_view bytes, std::string_view where);

  std::string_view operator()(std::string_view text, std::string& storage) const;

 private:
  static std::string read_map(const Component& component);

  struct Map {
    CharacterMap map;
    std::array<std::optional<std::string_view>, 128> ascii;  // replacement of each ASCII character
  };
  std::shared_ptr<const Map> map_;
};

#ifndef MODERNGPT2_DECLARE_FILES

MODERNGPT2_INLINE CharacterMap::CharacterMap(std::string_view bytes, std::string_view where) {
  const auto fail = [&](std::string_view what) {
    throw Error("{}: the character map is damaged: {}. Copy the file again.", where, what);
  };
  const auto unit = [&](std::size_t at) {
    const auto byte = [&](std::size_t i) { return std::uint32_t{static_cast<unsigned char>(bytes[at + i])}; };
    return byte(0) | byte(1) << 8 | byte(2) << 16 | byte(3) << 24;
  };
  if (bytes.size() < 4) fail("it has less than 4 bytes");
  const std::size_t count = unit(0) / 4;
  if (count == 0) fail("its trie is empty");
  if (count > (bytes.size() - 4) / 4) fail("its trie is incomplete");
  units_.reserve(count);
  for (std::size_t i = 0; i < count; ++i) units_.push_back(unit(4 + i * 4));
  replacements_ = bytes.substr(4 + count * 4);
  if (valid_utf8_prefix(replacements_) != replacements_.size()) fail("its replacements are not UTF-8");
}

MODERNGPT2_INLINE std::optional<std::string_view> CharacterMap::find(std::string_view text) const {
  const auto offset = [](std::uint32_t unit) { return std::size_t{unit >> 10} << ((unit & 0x200) >> 6); };
  std::size_t node = offset(units_[0]);
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    node ^= byte;
    if (byte == 0 || node >= units_.size()) return std::nullopt;
    const std::uint32_t unit = units_[node];
    if ((unit & 0x800000FF) != byte) return std::nullopt;
    node ^= offset(unit);
    if (unit & 0x100) {
      if (node >= units_.size()) return std::nullopt;
      const std::size_t begin = units_[node] & 0x7FFFFFFF;
      if (begin > replacements_.size() || (begin < replacements_.size() && is_utf8_continuation(replacements_[begin])))
        return std::nullopt;
      return std::string_view(replacements_).substr(begin, replacements_.find('\0', begin) - begin);
    }
  }
  return std::nullopt;
}

MODERNGPT2_INLINE std::string PrecompiledNormalizer::read_map(const Component& component) {
  component.expect({"precompiled_charsmap"});
  auto bytes = decode_base64(component.get<std::string>("precompiled_charsmap"));
  if (!bytes) component.fail("precompiled_charsmap is not base64. Copy the file again.");
  return *std::move(bytes);
}

MODERNGPT2_INLINE PrecompiledNormalizer::PrecompiledNormalizer(std::string_view bytes, std::string_view where) {
  const auto map = std::make_shared<Map>(Map{CharacterMap(bytes, where), {}});
  for (std::size_t c = 0; c < map->ascii.size(); ++c) {
    const char byte = static_cast<char>(c);
    map->ascii[c] = map->map.find({&byte, 1});
  }
  map_ = map;
}

MODERNGPT2_INLINE std::string_view PrecompiledNormalizer::operator()(std::string_view text,
                                                                     std::string& storage) const {
  const auto& [map, ascii] = *map_;
  std::size_t copied = 0;
  bool changed = false;
  const auto replace = [&](std::size_t begin, std::size_t end, std::string_view replacement) {
    if (!changed) storage.clear();
    changed = true;
    storage.append(text, copied, begin - copied).append(replacement);
    copied = end;
  };
  for (std::size_t at = 0; at < text.size();) {
    const auto byte = static_cast<unsigned char>(text[at]);
    // An ASCII character before another is a cluster of its own, but for CR LF.
    if (byte < 0x80 && byte != '\r' && (at + 1 == text.size() || static_cast<unsigned char>(text[at + 1]) < 0x80)) {
      if (ascii[byte]) replace(at, at + 1, *ascii[byte]);
      ++at;
      continue;
    }
    const std::size_t end = grapheme_end(text, at);
    if (end - at < 6) {
      if (const auto found = map.find(text.substr(at, end - at))) {
        replace(at, end, *found);
        at = end;
        continue;
      }
    }
    while (at < end) {
      const std::size_t length = utf8_length(text[at]);
      if (const auto found = map.find(text.substr(at, length))) replace(at, at + length, *found);
      at += length;
    }
  }
  if (!changed) return text;
  storage.append(text, copied);
  return storage;
}

#endif  // MODERNGPT2_DECLARE_FILES

}  // namespace moderngpt2::detail
