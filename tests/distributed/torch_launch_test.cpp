#include <array>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "distributed/with_variable.hpp"
#include "moderngpt2/core/clock.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/distributed/socket.hpp"
#include "moderngpt2/distributed/torch_launch.hpp"

using namespace moderngpt2;
using namespace moderngpt2::distributed;

namespace {

int free_port() { return Socket::listening(0).port(); }

/// Runs f(launch) as each of `ranks` of a job of `size`, in threads; returns what each threw.
template <class F>
std::vector<std::string> run_launched(int size, const std::vector<int>& ranks, int port, F&& f) {
  std::vector<std::string> thrown(ranks.size());
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < ranks.size(); ++i)
    threads.emplace_back([&, i] {
      try {
        f(TorchLaunch{{ranks[i], size, ranks[i], size}, "localhost", port});
      } catch (const std::exception& error) {
        thrown[i] = error.what();
      }
    });
  for (std::thread& thread : threads) thread.join();
  return thrown;
}

TEST_CASE("data of rank 0 reaches all ranks over TCP, in any order of start") {
  for (const int late : {0, 1, 3}) {
    const int port = free_port();
    const auto thrown = run_launched(4, {0, 1, 2, 3}, port, [late](const TorchLaunch& launch) {
      if (launch.place.rank == late) std::this_thread::sleep_for(std::chrono::milliseconds(150));
      std::array<int, 1000> data{};
      if (launch.place.rank == 0) data.fill(17);
      broadcast_over_tcp(launch, data.data(), sizeof data, 30);
      if (data[0] != 17 || data[999] != 17) throw Error("other data came");
    });
    CHECK(thrown == std::vector<std::string>(4));
  }
}

TEST_CASE("connections without a greeting are closed") {
  const int port = free_port();
  const auto thrown = run_launched(2, {0, 1}, port, [port](const TorchLaunch& launch) {
    int data = 0;
    if (launch.place.rank == 0) data = 5;
    if (launch.place.rank == 1) {
      const double deadline = seconds_now() + 30;
      const Socket stranger = Socket::connected("localhost", port, deadline);
      const std::string text = "GET / HTTP/1.1 and as many more bytes as a greeting has";
      if (!stranger.send(text.data(), text.size(), deadline)) throw Error("no connection");
    }
    broadcast_over_tcp(launch, &data, sizeof data, 30);
    if (data != 5) throw Error("{} came", data);
  });
  CHECK(thrown == std::vector<std::string>(2));
}

TEST_CASE("ranks that do not connect are named") {
  const int port = free_port();
  int data = 0;
  const auto first = run_launched(
      4, {0, 2}, port, [&](const TorchLaunch& launch) { broadcast_over_tcp(launch, &data, sizeof data, 0.5); });
  const std::string place = "port " + std::to_string(port) + " of localhost";
  CHECK(first[0] == "rank 1, 3 has not connected to " + place + " within 0.5 s");
  CHECK(first[1] ==
        "rank 2 has no answer from rank 0 on " + place + " within 0.5 s: is it running, and is MASTER_ADDR right?");
}

TEST_CASE("a process of another job is an error") {
  const int port = free_port();
  const auto thrown = run_launched(3, {0, 1}, port, [&](TorchLaunch launch) {
    int data = 0;
    if (launch.place.rank == 1) launch.place.size = 8;
    broadcast_over_tcp(launch, &data, sizeof data, 1);
  });
  CHECK(thrown[0].find("a process connected as rank 1 of 8, but this job has 3: does another job use port") == 0);
}

TEST_CASE("a port in use is an error that names it") {
  const Socket taken = Socket::listening(0);
  int data = 0;
  const TorchLaunch launch{{0, 2, 0, 2}, "localhost", taken.port()};
  const std::string message = "rank 0 cannot listen on port " + std::to_string(taken.port()) +
                              ": Address already in use; set another MASTER_PORT";
  CHECK_THROWS_WITH_AS(broadcast_over_tcp(launch, &data, sizeof data, 1), message.c_str(), Error);
}

TEST_CASE("the environment of torchrun") {
  const WithVariable rank("RANK", "5"), size("WORLD_SIZE", "8"), local("LOCAL_RANK", "1"), port("MASTER_PORT", "29500");
  CHECK_THROWS_WITH_AS(read_torch_launch(), "MASTER_ADDR is not set: it must name the machine of rank 0", Error);
  const WithVariable address("MASTER_ADDR", "node0");
  {
    const WithVariable local_size("LOCAL_WORLD_SIZE", "4");
    const TorchLaunch launch = read_torch_launch();
    CHECK(launch.place.rank == 5);
    CHECK(launch.place.size == 8);
    CHECK(launch.place.local_rank == 1);
    CHECK(launch.place.local_size == 4);
    CHECK(launch.master_address == "node0");
    CHECK(launch.port == 29500);
  }
  {
    const WithVariable agent("TORCHELASTIC_USE_AGENT_STORE", "True");
    CHECK(read_torch_launch().port == 29501);
  }
  {
    const WithVariable small("LOCAL_WORLD_SIZE", "1");
    CHECK_THROWS_WITH_AS(read_torch_launch(),
                         "RANK 5 of WORLD_SIZE 8 and LOCAL_RANK 1 of LOCAL_WORLD_SIZE 1 contradict each other", Error);
  }
  const WithVariable bad("WORLD_SIZE", "eight");
  CHECK_THROWS_WITH_AS(read_torch_launch(),
                       "WORLD_SIZE is not set to a number: use torchrun, accelerate or mpirun to start this program",
                       Error);
}

}  // namespace
