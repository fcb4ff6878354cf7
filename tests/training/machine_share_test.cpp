#include <cstdint>
#include <string>

#include <doctest/doctest.h>

#include "moderngpt2/training/machine_share.hpp"

using namespace moderngpt2;

TEST_CASE("a run says once that other programs take its processors, and again after a recovery") {
  ProcessorTime time;
  MachineShare share([&] { return time; });
  const auto after = [&](double used, double waited) {
    time.used += std::uint64_t(used * 1e9), time.waited += std::uint64_t(waited * 1e9);
    return share.note();
  };
  CHECK_FALSE(after(4, 0.1));
  CHECK_FALSE(after(4, 0.5));
  const auto note = after(4, 3);
  REQUIRE(note);
  CHECK(note->find("57%") != std::string::npos);
  CHECK(note->find("98% at the start") != std::string::npos);
  CHECK(note->find("threads") != std::string::npos);
  CHECK_FALSE(after(4, 3));
  CHECK_FALSE(after(4, 0));
  CHECK(after(4, 3));
}

TEST_CASE("short intervals are joined, and a thread that ends starts a new one") {
  ProcessorTime time;
  MachineShare share([&] { return time; });
  time.used += 2000000000;
  CHECK_FALSE(share.note());
  for (int i = 0; i < 4; ++i) {
    time.used += 100000000, time.waited += 100000000;
    CHECK_FALSE(share.note());
  }
  time.used += 100000000, time.waited += 100000000;
  CHECK(share.note());
  time = {};
  CHECK_FALSE(share.note());
}

TEST_CASE("a share that is low from the start is no news") {
  ProcessorTime time;
  MachineShare share([&] { return time; });
  for (int i = 0; i < 3; ++i) {
    time.used += 2000000000, time.waited += 2000000000;
    CHECK_FALSE(share.note());
  }
}

TEST_CASE("the times of this process are those of its threads") {
  const ProcessorTime before = processor_time();
  volatile double x = 0;
  for (int i = 0; i < 20000000; ++i) x = x + 1;
  const ProcessorTime after = processor_time();
  if (before.used > 0) CHECK(after.used > before.used);
}
