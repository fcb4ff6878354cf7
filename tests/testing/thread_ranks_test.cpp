#include <barrier>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <mutex>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "distributed/collective_checks.hpp"
#include "moderngpt2/core/dtype.hpp"
#include "moderngpt2/distributed/communicator.hpp"
#include "moderngpt2/testing/thread_ranks.hpp"

using namespace moderngpt2;
using namespace moderngpt2::distributed;

namespace {

constexpr double never = std::numeric_limits<double>::infinity();

/// Seconds up to 2 ms, different for each rank and collective.
double uneven_delay(int rank, std::int64_t number, const Collective&) {
  return 1e-4 * double((std::uint64_t(number * 7 + rank + 1) * 2654435761u >> 8) % 20);
}

void check_clean(const std::vector<std::string>& thrown) {
  for (const std::string& message : thrown) CHECK(message == "");
}

TEST_CASE("a single rank keeps what it has") {
  SingleCommunicator one;
  CHECK(check_collectives(one) == "");
  CHECK(one.bytes_moved() == 0);
  CHECK_THROWS_WITH_AS(one.abort("the end", 3), "the end", JobEnded);
}

TEST_CASE("thread ranks: every collective at 1 to 4 ranks, with uneven delays") {
  for (int size : {1, 2, 3, 4}) {
    ThreadRanksOptions options;
    options.plan.delay = uneven_delay;
    check_clean(run_thread_ranks(size, options, [](ThreadCommunicator& ranks) {
      const std::string wrong = check_collectives(ranks);
      if (!wrong.empty()) throw Error(wrong);
    }));
  }
}

TEST_CASE("thread ranks: sums repeat bit for bit, whoever comes last") {
  std::vector<float> first;
  for (int late : {0, 1, 2}) {
    ThreadRanksOptions options;
    options.plan.delay = [late](int rank, std::int64_t, const Collective&) { return rank == late ? 0.002 : 0; };
    std::vector<float> result;
    check_clean(run_thread_ranks(3, options, [&](ThreadCommunicator& ranks) {
      std::vector<float> x(1000);
      for (std::size_t i = 0; i < x.size(); ++i) x[i] = std::sin(float(i) * 3.7f + float(ranks.rank()) * 1.3f);
      ranks.all_reduce(x.data(), 1000, ReduceOp::sum, "sum").wait();
      if (ranks.rank() == 2) result = x;
    }));
    if (first.empty()) first = result;
    CHECK(result == first);
  }
}

TEST_CASE("thread ranks: what is not given is lost before the wait") {
  std::barrier both_looked(2);  // whoever waits first does the work of both
  check_clean(run_thread_ranks(2, {}, [&](ThreadCommunicator& ranks) {
    std::vector<float> x = {1, 2};
    Request request = ranks.all_gather(x.data(), 1, "x");
    const bool lost = std::isnan(x[std::size_t(1 - ranks.rank())]);
    both_looked.arrive_and_wait();
    request.wait();
    if (!lost || x != std::vector<float>{1, 2}) throw Error("the slice of the other rank was there too early");
  }));
}

TEST_CASE("thread ranks: the watchdog names the rank that stalls, the collective and the step on all ranks") {
  ThreadRanksOptions options;
  options.timeout_seconds = 0.2;
  options.plan.delay = [](int rank, std::int64_t number, const Collective&) {
    return rank == 1 && number == 2 ? never : 0;
  };
  const auto thrown = run_thread_ranks(3, options, [](ThreadCommunicator& ranks) {
    ranks.set_step(17);
    float x[6] = {};
    ranks.barrier("start");
    Request first = ranks.all_gather(x, 1, "all-gather of bucket 2"),
            second = ranks.all_gather(x + 3, 1, "all-gather of bucket 3");
    second.wait();
  });
  for (std::size_t r = 0; r < 3; ++r)
    CHECK(thrown[r] ==
          "rank " + std::to_string(r) +
              ": all-gather of bucket 3 in step 17 has not finished within 0.2 s: rank 1 has not called it "
              "(2 calls before); the job ends");
}

TEST_CASE("thread ranks: a rank that fails as planned ends the others") {
  ThreadRanksOptions options;
  options.plan.fails = [](int rank, std::int64_t number, const Collective&) { return rank == 2 && number == 1; };
  const auto thrown = run_thread_ranks(4, options, [](ThreadCommunicator& ranks) {
    ranks.barrier("start");
    ranks.barrier("the save");
  });
  CHECK(thrown[2] == "rank 2 fails as planned before the save");
  for (std::size_t r : {0, 1, 3})
    CHECK(thrown[r] == "rank " + std::to_string(r) + ": rank 2 has ended: rank 2 fails as planned before the save");
}

TEST_CASE("thread ranks: abort on one rank ends all, also those in a collective") {
  const auto thrown = run_thread_ranks(3, {}, [](ThreadCommunicator& ranks) {
    if (ranks.rank() == 0) ranks.abort("the disk is full", 1);
    ranks.barrier("the save");
  });
  CHECK(thrown[0] == "the disk is full");
  CHECK(thrown[1] == "rank 1: rank 0 ends the job: the disk is full");
  CHECK(thrown[2] == "rank 2: rank 0 ends the job: the disk is full");
}

TEST_CASE("thread ranks: different collectives are told apart") {
  const auto thrown = run_thread_ranks(2, {}, [](ThreadCommunicator& ranks) {
    float x[4] = {};
    ranks.all_reduce(x, 3 + ranks.rank(), ReduceOp::sum, "norm").wait();
  });
  for (const std::string& message : thrown) {
    CHECK(message.find("collective 0 is norm (") != std::string::npos);
    CHECK(message.find("norm (4 elements)") != std::string::npos);
  }
}

TEST_CASE("thread ranks: the trace and the bytes of a ring") {
  std::mutex mutex;
  std::vector<std::string> names;
  std::vector<std::int64_t> moved(4);
  check_clean(run_thread_ranks(4, {}, [&](ThreadCommunicator& ranks) {
    std::int64_t traced = 0;
    ranks.set_trace([&](double begin, double end, const char* what, std::int64_t bytes) {
      const std::lock_guard lock(mutex);
      if (ranks.rank() == 3) names.push_back(what);
      if (end < begin) throw Error("a trace that ends before it begins");
      traced += bytes;
    });
    std::vector<double> x(400);
    ranks.reduce_scatter(x.data(), 100, "reduce-scatter of bucket 0").wait();
    ranks.all_gather(x.data(), 100, "all-gather of bucket 0").wait();
    ranks.barrier("end");
    moved[std::size_t(ranks.rank())] = ranks.bytes_moved();
    if (traced != ranks.bytes_moved()) throw Error("{} bytes traced", traced);
  }));
  CHECK(names == std::vector<std::string>{"reduce-scatter of bucket 0", "all-gather of bucket 0", "end"});
  CHECK(moved == std::vector<std::int64_t>(4, 2 * 300 * 8));
}

}  // namespace
