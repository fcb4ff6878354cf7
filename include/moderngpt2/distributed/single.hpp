#pragma once

#include <string>

#include "moderngpt2/distributed/communicator.hpp"

namespace moderngpt2::distributed {

/// The only rank: every collective is done at once and costs nothing.
class SingleCommunicator final : public CommunicatorBase {
 public:
  SingleCommunicator() : CommunicatorBase(0, 1, 0) {}

  /// Throws JobEnded: a library does not end somebody's process.
  [[noreturn]] void abort(const std::string& why, int status) override { throw JobEnded(why, status); }

 private:
  void start(int) override {}
  bool test(int) override { return true; }
  void wait(int) override {}
  [[noreturn]] void give_up(int) override { throw Error("a single rank waits for nobody"); }
};

static_assert(Communicator<SingleCommunicator>);

}  // namespace moderngpt2::distributed
