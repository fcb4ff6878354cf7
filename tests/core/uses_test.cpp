#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/core/uses.hpp"
#include "support/on_threads.hpp"

using namespace moderngpt2;

TEST_CASE("uses: many shared ones, or those of one thread within its exclusive one") {
  const Uses uses("thing");
  const std::string refused = "this thing is in use by another thread";
  const auto shared = [&] { (void)uses.shared(); };
  const auto exclusive = [&] { (void)uses.exclusive(); };
  {
    const auto one = uses.shared(), two = uses.shared();
    CHECK(test::on_other_thread(shared) == "");
    CHECK(test::on_other_thread(exclusive) == refused);
    CHECK_THROWS_WITH_AS(exclusive(), refused.c_str(), Error);
  }
  {
    std::optional<Uses::Use> moved;
    {
      auto use = uses.exclusive();
      exclusive();
      shared();
      CHECK(test::on_other_thread(shared) == refused);
      CHECK(test::on_other_thread(exclusive) == refused);
      moved.emplace(std::move(use));
    }
    CHECK(test::on_other_thread(shared) == refused);
  }
  CHECK(test::on_other_thread(exclusive) == "");
  exclusive();
}

TEST_CASE("uses: of threads that try to be alone, one at a time is") {
  const Uses uses("thing");
  int inside = 0, entered = 0;  // a data race unless uses exclude each other
  std::vector<int> refused(4, 0);
  test::on_threads(4, [&](int thread) {
    for (int i = 0; i < 2000; ++i) try {
        const auto use = uses.exclusive();
        CHECK_MESSAGE(++inside == 1, "two at once");
        --inside, ++entered;
      } catch (const Error&) {
        ++refused[std::size_t(thread)];
      }
  });
  CHECK(entered + refused[0] + refused[1] + refused[2] + refused[3] == 8000);
  CHECK(entered > 0);
}
