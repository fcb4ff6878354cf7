// TCP messages: rank 0 of 3 reads the parts of the input as the messages of connections, then rank 1 reads the first
// part as the answer of rank 0.
#include <sys/socket.h>
#include <thread>

#include "fuzz.hpp"
#include "moderngpt2/distributed/torch_launch.hpp"

using namespace moderngpt2;
using namespace moderngpt2::distributed;

namespace {

std::string hello(int rank, int size, std::int64_t bytes) {
  moderngpt2::distributed::detail::RankHello message;
  message.rank = rank, message.size = size, message.bytes = bytes;
  return {reinterpret_cast<const char*>(&message), sizeof message};
}

}  // namespace

void fuzz::seed(Seeds& seeds) {
  seeds.add(join({hello(1, 3, 16), hello(2, 3, 16)}));
  seeds.add(join({"GET / HTTP/1.1\r\n\r\n", hello(2, 3, 16), hello(2, 3, 16)}));
  seeds.add(join({hello(1, 3, 17), ""}));
  seeds.add(join({hello(3, 3, 16), hello(-1, 3, 16)}));
  seeds.words({"MG2RANKS", hello(1, 3, 16), hello(2, 3, 16), separator, "\xff\xff\xff\xff"});
}

void fuzz::run(std::string_view input) {
  const auto parts = split(input, 3);
  const Socket listening = Socket::listening(0);
  if (!listening.is_valid()) fail("no port");
  TorchLaunch launch;
  launch.place.size = 3;
  launch.master_address = "127.0.0.1";
  launch.port = listening.port();
  const std::string secret(16, 's');
  std::thread callers([&] {
    std::vector<Socket> open;  // until all have spoken
    for (const std::string_view part : parts) {
      open.push_back(Socket::connected(launch.master_address, launch.port, seconds_now() + 1));
      if (open.back().is_valid()) open.back().send(part.data(), part.size(), seconds_now() + 1);
      if (part.size() < sizeof(moderngpt2::distributed::detail::RankHello)) open.pop_back();
    }
  });
  (void)accepted([&] {
    moderngpt2::distributed::detail::send_to_ranks(launch, listening, secret.data(), secret.size(), 0.02);
    return 0;
  });
  callers.join();

  std::thread master([&] {
    const Socket caller = listening.accept(seconds_now() + 1);
    if (caller.is_valid()) caller.send(parts[0].data(), parts[0].size(), seconds_now() + 1);
  });
  launch.place.rank = 1;
  std::string received(16, '\0');
  (void)accepted([&] {
    broadcast_over_tcp(launch, received.data(), received.size(), 0.02);
    return 0;
  });
  master.join();
}
