#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "moderngpt2/core/clock.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/distributed/launch.hpp"
#include "moderngpt2/distributed/nccl_communicator.hpp"
#include "moderngpt2/distributed/socket.hpp"

namespace moderngpt2::distributed {

/// Environment of a process that torchrun or accelerate started.
struct TorchLaunch {
  RankPlace place;
  std::string master_address;
  int port = 0;  ///< TCP port on which rank 0 listens
};

/// Reads RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR and MASTER_PORT. The port is MASTER_PORT, or
/// MASTER_PORT + 1 if torchrun itself listens on it (TORCHELASTIC_USE_AGENT_STORE). Throws an Error that names a
/// missing variable.
inline TorchLaunch read_torch_launch() {
  const auto number = [](const char* name) {
    const std::optional<int> value = environment_number(name);
    if (!value || *value < 0)
      throw Error("{} is not set to a number: use torchrun, accelerate or mpirun to start this program", name);
    return *value;
  };
  TorchLaunch launch;
  launch.place = {number("RANK"), number("WORLD_SIZE"), number("LOCAL_RANK"),
                  environment_number("LOCAL_WORLD_SIZE").value_or(number("WORLD_SIZE"))};
  const RankPlace& p = launch.place;
  if (p.rank >= p.size || p.local_rank >= p.local_size || p.local_size > p.size)
    throw Error("RANK {} of WORLD_SIZE {} and LOCAL_RANK {} of LOCAL_WORLD_SIZE {} contradict each other", p.rank,
                p.size, p.local_rank, p.local_size);
  const char* address = std::getenv("MASTER_ADDR");
  if (!address || !*address) throw Error("MASTER_ADDR is not set: it must name the machine of rank 0");
  launch.master_address = address;
  const char* agent = std::getenv("TORCHELASTIC_USE_AGENT_STORE");
  launch.port = number("MASTER_PORT") + (agent && std::string(agent) == "True" ? 1 : 0);
  return launch;
}

namespace detail {

/// First message of a rank that connects to rank 0.
struct RankHello {
  char magic[8] = {'M', 'G', '2', 'R', 'A', 'N', 'K', 'S'};
  std::int32_t rank = 0, size = 0;
  std::int64_t bytes = 0;
};

/// Sends `data` to each of the other ranks as they connect. Connections that do not begin with a RankHello are closed.
inline void send_to_ranks(const TorchLaunch& launch, const Socket& listening, const void* data, std::size_t bytes,
                          double timeout) {
  const int size = launch.place.size;
  std::vector<Socket> callers(static_cast<std::size_t>(size));
  const double deadline = seconds_now() + timeout;
  for (int missing = size - 1; missing > 0;) {
    Socket caller = listening.accept(deadline);
    if (!caller.is_valid()) {
      std::string ranks;
      for (int r = 1; r < size; ++r)
        if (!callers[std::size_t(r)].is_valid()) ranks += fmt::format("{}{}", ranks.empty() ? "" : ", ", r);
      throw Error("rank {} has not connected to port {} of {} within {:g} s", ranks, launch.port, launch.master_address,
                  timeout);
    }
    RankHello hello;
    if (!caller.receive(&hello, sizeof hello, std::min(deadline, seconds_now() + 10)) ||
        std::memcmp(hello.magic, RankHello().magic, sizeof hello.magic) != 0)
      continue;
    if (hello.size != size || hello.bytes != std::int64_t(bytes) || hello.rank < 1 || hello.rank >= size)
      throw Error("a process connected as rank {} of {}, but this job has {}: does another job use port {} of {}?",
                  hello.rank, hello.size, size, launch.port, launch.master_address);
    Socket& place = callers[std::size_t(hello.rank)];
    if (!place.is_valid()) --missing;
    place = std::move(caller);
  }
  for (int r = 1; r < size; ++r)
    if (!callers[std::size_t(r)].send(data, bytes, deadline)) throw Error("rank {} has closed its connection", r);
}

}  // namespace detail

/// Broadcasts `bytes` bytes of `data` from rank 0 to all ranks over TCP. Throws an Error that names the ranks that do
/// not connect within `timeout` seconds.
inline void broadcast_over_tcp(const TorchLaunch& launch, void* data, std::size_t bytes, double timeout) {
  if (launch.place.size == 1) return;
  if (launch.place.rank == 0) {
    const Socket listening = Socket::listening(launch.port);
    if (!listening.is_valid())
      throw Error("rank 0 cannot listen on port {}: {}; set another MASTER_PORT", launch.port, std::strerror(errno));
    return detail::send_to_ranks(launch, listening, data, bytes, timeout);
  }
  const double deadline = seconds_now() + timeout;
  const detail::RankHello hello{
      .rank = launch.place.rank, .size = launch.place.size, .bytes = static_cast<std::int64_t>(bytes)};
  while (seconds_now() < deadline) {
    const Socket master = Socket::connected(launch.master_address, launch.port, deadline);
    if (master.is_valid() && master.send(&hello, sizeof hello, deadline) && master.receive(data, bytes, deadline))
      return;
    ::usleep(100'000);  // an earlier user of the port may have answered
  }
  throw Error(
      "rank {} has no answer from rank 0 on port {} of {} within {:g} s: is it running, and is MASTER_ADDR right?",
      launch.place.rank, launch.port, launch.master_address, timeout);
}

/// NCCL id of the job, created by rank 0 and sent to all processes that torchrun started.
template <class Api>
typename Api::Id shared_nccl_id(Api& api, const TorchLaunch& launch, double timeout) {
  typename Api::Id id{};
  if (launch.place.rank == 0) id = api.new_id();
  broadcast_over_tcp(launch, &id, sizeof id, timeout);
  return id;
}

}  // namespace moderngpt2::distributed
