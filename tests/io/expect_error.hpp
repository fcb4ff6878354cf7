#pragma once

#include <initializer_list>
#include <string>

#include <doctest/doctest.h>

#include "moderngpt2/core/error.hpp"

namespace moderngpt2::test {

/// Message of the Error that `f` throws, after checking that it is one line. Without an Error, "" and a failed check.
template <class F>
std::string error_of(F f) {
  try {
    f();
  } catch (const Error& error) {
    const std::string what = error.what();
    CHECK_MESSAGE(what.find('\n') == what.npos, what);
    CHECK_MESSAGE(what.size() < 1000, what.size());
    return what;
  }
  FAIL_CHECK("no error");
  return "";
}

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }

}  // namespace moderngpt2::test

/// Checks that an expression throws an Error of one line that contains the given parts.
#define CHECK_ERROR(expression, ...)                                                          \
  do {                                                                                        \
    const std::string message_ = moderngpt2::test::error_of([&] { (void)(expression); });     \
    for (const std::string& part_ : std::initializer_list<std::string>{__VA_ARGS__})          \
      CHECK_MESSAGE(moderngpt2::test::contains(message_, part_), message_, " lacks ", part_); \
  } while (false)
