#pragma once

#include <stdexcept>
#include <string>
#include <utility>

#include <fmt/core.h>

namespace moderngpt2 {

/// Bad input or a failing machine: one line that says what is wrong, where, and what to do. Programs print it on
/// standard error and exit with status 1.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message) : std::runtime_error(message) {}

  template <class First, class... Rest>
  Error(fmt::format_string<First, Rest...> format, First&& first, Rest&&... rest)
      : std::runtime_error(fmt::format(format, std::forward<First>(first), std::forward<Rest>(rest)...)) {}
};

/// A command line that cannot be run as typed. Programs exit with status 2.
class UsageError : public Error {
 public:
  using Error::Error;
};

}  // namespace moderngpt2
