#include <string>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "moderngpt2/core/error.hpp"

using namespace moderngpt2;

TEST_CASE("messages name settings as fields, or as flags with a prefix") {
  const auto message = [] { return std::string(Error("{} is {}", Setting{"block_size"}, 0).what()); };
  CHECK(message() == "block_size is 0");
  setting_prefix = "--";
  CHECK(message() == "--block_size is 0");
  CHECK(fmt::format("{:>14}", fmt::format("{}", Setting{"resume"})) == "      --resume");
  setting_prefix = {};
  CHECK(message() == "block_size is 0");
}
