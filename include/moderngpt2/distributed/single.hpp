#pragma once

#include <string>

#include "moderngpt2/distributed/communicator.hpp"

namespace moderngpt2::distributed {

/// The only rank: every collective is done at once and costs nothing. abort() throws JobEnded.
class SingleCommunicator final : public CommunicatorBase {
 public:
  SingleCommunicator() : CommunicatorBase(0, 1, 0) {}

 private:
  [[noreturn]] void end_job(const std::string& why, int status) override { throw JobEnded(why, status); }
  void start(int) override {}
  bool test(int) override { return true; }
  void wait(int) override {}
  [[noreturn]] void give_up(int) override { throw Error("a single rank waits for nobody"); }
};

static_assert(Communicator<SingleCommunicator>);

/// These ranks, or where there are none the calling thread as the only one.
inline CommunicatorBase& ranks_or_single(CommunicatorBase* ranks) {
  static thread_local SingleCommunicator alone;
  return ranks ? *ranks : alone;
}

}  // namespace moderngpt2::distributed
