#include <atomic>
#include <chrono>
#include <cstddef>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/data/bounded_queue.hpp"
#include "moderngpt2/data/ordered_pipeline.hpp"

using namespace moderngpt2;

namespace {

/// Squares 0 to `count` - 1, some of them slowly. Throws at the given items.
struct Squares {
  int count = 3000;
  int fail_produce = -1, fail_transform = -1, fail_consume = -1;
  std::atomic<int> made = 0, taken = 0, most_waiting = 0;
  std::vector<int> results;
  OrderedPipeline<int, int> pipeline;

  void run(int threads, std::size_t limit) {
    pipeline.produce = [this]() -> std::optional<int> {
      const int i = made++;
      if (i == fail_produce) throw Error("produce {}", i);
      return i < count ? std::optional<int>(i) : std::nullopt;
    };
    pipeline.cost = [](int i) { return static_cast<std::size_t>(1 + i % 7); };
    pipeline.transform = [this](int i) {
      if (i == fail_transform) throw Error("transform {}", i);
      if (i % 97 == 0) std::this_thread::sleep_for(std::chrono::microseconds(300));
      return i * i;
    };
    pipeline.consume = [this](int square) {
      const int waiting = made - taken++;
      if (waiting > most_waiting) most_waiting = waiting;
      if (static_cast<int>(results.size()) == fail_consume) throw Error("consume {}", fail_consume);
      results.push_back(square);
    };
    pipeline.run(threads, limit);
  }
};

}  // namespace

TEST_CASE("results come in order, whatever the threads and the limit") {
  for (const int threads : {1, 2, 3, 8})
    for (const std::size_t limit : {1, 20, 10000}) {
      Squares squares;
      squares.run(threads, limit);
      REQUIRE(squares.results.size() == 3000);
      for (int i = 0; i < squares.count; ++i) CHECK(squares.results[static_cast<std::size_t>(i)] == i * i);
      if (limit == 20) CHECK(squares.most_waiting <= 22);
    }
}

TEST_CASE("an exception anywhere ends the pipeline, after all that stands before it") {
  for (const int threads : {1, 4})
    for (const int at : {0, 1, 1500, 2999}) {
      Squares one, two, three;
      one.fail_produce = two.fail_transform = three.fail_consume = at;
      const std::string number = std::to_string(at);
      CHECK_THROWS_WITH_AS(one.run(threads, 50), ("produce " + number).c_str(), Error);
      CHECK(one.results.size() == static_cast<std::size_t>(at));
      CHECK_THROWS_WITH_AS(two.run(threads, 50), ("transform " + number).c_str(), Error);
      CHECK(two.results.size() == static_cast<std::size_t>(at));
      CHECK_THROWS_WITH_AS(three.run(threads, 50), ("consume " + number).c_str(), Error);
    }
}

TEST_CASE("an empty stream, and idle calls that stop a slow one") {
  Squares none;
  none.count = 0;
  none.run(2, 10);
  CHECK(none.results.empty());
  OrderedPipeline<int, int> slow;
  std::atomic<bool> stop = false;
  slow.produce = [&]() -> std::optional<int> {
    while (!stop) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return std::nullopt;
  };
  slow.idle = [&] {
    stop = true;
    throw Error("enough");
  };
  CHECK_THROWS_WITH_AS(slow.run(2, 10), "enough", Error);
}

TEST_CASE("a bounded queue") {
  BoundedQueue<int> queue(10);
  std::atomic<int> pushed = 0;
  std::jthread maker([&] {
    for (int i = 0; i < 1000; ++i) {
      if (!queue.push(i, i == 500 ? 1000 : 3)) return;
      ++pushed;
    }
    queue.finish();
  });
  for (int i = 0; i < 1000; ++i) {
    const std::optional<int> item = queue.pop();
    REQUIRE(item);
    CHECK(*item == i);
    CHECK(pushed <= i + 5);
  }
  CHECK_FALSE(queue.pop());

  BoundedQueue<int> closed(1);
  std::jthread blocked([&] {
    while (closed.push(1, 1)) {
    }
  });
  CHECK(closed.pop() == 1);
  closed.close();
  CHECK_FALSE(closed.pop());
}
