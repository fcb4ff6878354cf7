#pragma once

// clang-format off
#include "moderngpt2/core/requirements.hpp"  // before fmt: its messages come before those of the compiler
// clang-format on

#include <stdexcept>
#include <string>
#include <string_view>

#include <fmt/core.h>

#include "moderngpt2/core/printable.hpp"

namespace moderngpt2 {

/// Prefix of the names of settings in messages. Empty by default: messages name fields, such as zero_stage. run_main()
/// sets it to "--" before it starts a program, whose messages then name flags. Not synchronized: set it before threads
/// start.
inline std::string_view setting_prefix;

/// Name of a setting, as an argument of a message: Error("{} must be positive", Setting{"block_size"}).
struct Setting {
  std::string_view name;
};

}  // namespace moderngpt2

template <>
struct fmt::formatter<moderngpt2::Setting> : fmt::formatter<std::string_view> {
  auto format(moderngpt2::Setting setting, fmt::format_context& context) const {
    return fmt::format_to(context.out(), "{}{}", moderngpt2::setting_prefix, setting.name);
  }
};

namespace moderngpt2 {

/// Exception for invalid input or a system failure. The message is one line:
/// `WHERE: what is wrong (value, expected). What to do.`
/// Programs print it on standard error and exit with status 1. The constructor makes it printable(), because names and
/// values in it may come from files.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message) : std::runtime_error(printable(message)) {}

  /// Formats the message; the format string is checked at compile time. Arguments are const references, so that lvalues
  /// and rvalues of one type share an instantiation.
  template <class First, class... Rest>
  Error(fmt::format_string<First, Rest...> format, const First& first, const Rest&... rest)
      : std::runtime_error(printable(fmt::vformat(format, fmt::make_format_args(first, rest...)))) {}
};

/// Exception for settings that cannot be used together or have an invalid value. Programs exit with status 2.
class UsageError : public Error {
 public:
  using Error::Error;
};

}  // namespace moderngpt2
