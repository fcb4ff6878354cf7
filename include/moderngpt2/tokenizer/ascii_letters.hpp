#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace moderngpt2::detail {

inline bool is_ascii_letter(unsigned char c) { return static_cast<unsigned char>((c | 0x20) - 'a') < 26; }

/// End of the run of ASCII letters at `text[at]`. Reads eight letters at a time.
inline std::size_t skip_ascii_letters(std::string_view text, std::size_t at) {
  constexpr std::uint64_t every_byte = 0x0101010101010101u;
  while (std::endian::native == std::endian::little && at + sizeof every_byte <= text.size()) {
    std::uint64_t word;
    std::memcpy(&word, text.data() + at, sizeof word);
    const std::uint64_t low = (word | every_byte * 0x20) & every_byte * 0x7F;
    const std::uint64_t letters = (low + every_byte * (0x80 - 'a')) & ~(low + every_byte * (0x80 - 'z' - 1)) & ~word;
    if (const std::uint64_t others = ~letters & every_byte * 0x80)
      return at + static_cast<std::size_t>(std::countr_zero(others)) / 8;
    at += sizeof word;
  }
  while (at < text.size() && is_ascii_letter(static_cast<unsigned char>(text[at]))) ++at;
  return at;
}

}  // namespace moderngpt2::detail
