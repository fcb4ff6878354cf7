#pragma once

#include <stdexcept>
#include <string>

#include <fmt/core.h>

namespace moderngpt2 {

/// Bad input or a failing machine: one line that says what is wrong, where, and what to do. Programs print it on
/// standard error and exit with status 1.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message) : std::runtime_error(message) {}

  /// Formats the message; the format string is checked at compile time. Arguments are const references, so that lvalues
  /// and rvalues of one type share an instantiation.
  template <class First, class... Rest>
  Error(fmt::format_string<First, Rest...> format, const First& first, const Rest&... rest)
      : std::runtime_error(fmt::vformat(format, fmt::make_format_args(first, rest...))) {}
};

/// A command line that cannot be run as typed. Programs exit with status 2.
class UsageError : public Error {
 public:
  using Error::Error;
};

}  // namespace moderngpt2
