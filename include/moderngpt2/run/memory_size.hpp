#pragma once

#include <array>
#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "moderngpt2/core/ascii.hpp"
#include "moderngpt2/core/error.hpp"

namespace moderngpt2::detail {

/// Parses a size such as "94GiB", "80 GB" or "500MiB" and returns bytes. `unit_bytes`: the unit of a number without
/// one. Throws UsageError with the name of the setting.
inline std::uint64_t parse_bytes(const char* setting, const std::string& text, double unit_bytes = 1 << 30) {
  const std::array<std::pair<std::string_view, double>, 11> units{{{"", unit_bytes},
                                                                   {"kib", 1024.0},
                                                                   {"kb", 1e3},
                                                                   {"g", double(1 << 30)},
                                                                   {"gib", double(1 << 30)},
                                                                   {"gb", 1e9},
                                                                   {"m", double(1 << 20)},
                                                                   {"mib", double(1 << 20)},
                                                                   {"mb", 1e6},
                                                                   {"tib", 1024.0 * (1 << 30)},
                                                                   {"tb", 1e12}}};
  double number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number, std::chars_format::fixed);
  std::string unit;
  for (const char* at = rest; at != end; ++at)
    if (*at != ' ') unit += *at;
  unit = lower_case(std::move(unit));
  for (const auto& [name, bytes] : units)
    if (error == std::errc() && unit == name && number > 0 && number * bytes < 1e18)
      return std::uint64_t(number * bytes);
  throw UsageError("{}: '{}' is not a memory size (expected a number and a unit, such as 94GiB or 80GB)",
                   Setting{setting}, text);
}

}  // namespace moderngpt2::detail
