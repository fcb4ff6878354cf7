#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "moderngpt2/distributed/communicator.hpp"
#include "moderngpt2/testing/thread_hub.hpp"

namespace moderngpt2::distributed {

/// Delays and failures of ranks that are threads, for tests. Each rank calls the first two functions before its
/// collective `c`, the `number`-th from 0 on.
struct ThreadPlan {
  /// Delay in seconds; infinity: the rank stalls until the job ends.
  std::function<double(int rank, std::int64_t number, const Collective& c)> delay{};
  /// Whether the rank throws an Error.
  std::function<bool(int rank, std::int64_t number, const Collective& c)> fails{};
  /// Called when the result of a collective is in the rank's buffer, which it may change.
  std::function<void(int rank, const Collective& c)> received{};
};

/// Rank that is a thread of this process. Sums are taken in the order of ranks, so that they are deterministic. A
/// failure of one rank is thrown as JobEnded on all. Threads: that of its rank.
class ThreadCommunicator final : public CommunicatorBase {
 public:
  /// `plan` must outlive the communicator.
  ThreadCommunicator(ThreadHub& hub, int rank, double timeout_seconds = 1800, const ThreadPlan* plan = nullptr)
      : CommunicatorBase(rank, hub.size(), timeout_seconds), hub_(hub), plan_(plan) {}

 private:
  [[noreturn]] void end_job(const std::string& why, int status) override {
    hub_.fail(fmt::format("rank {} ends the job: {}", rank(), why), status);
    throw JobEnded(why, status);
  }

  void start(int slot) override {
    const std::int64_t number = calls_++;
    if (plan_) follow_plan(slot, number);
    const Collective& c = collective(slot);
    if (c.kind != CollectiveKind::reduce_scatter) detail::HubWork::poison(c, rank(), size());
    numbers_.resize(std::max(numbers_.size(), std::size_t(slot) + 1));
    numbers_[std::size_t(slot)] = hub_.join(rank(), c);
  }

  bool test(int slot) override {
    std::unique_lock lock(hub_.mutex_);
    if (!hub_.advance(numbers_[std::size_t(slot)], rank(), lock)) return false;
    receive(slot);
    return true;
  }

  void wait(int slot) override {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::duration<double>(timeout_seconds());
    std::unique_lock lock(hub_.mutex_);
    while (!hub_.advance(numbers_[std::size_t(slot)], rank(), lock)) {
      if (hub_.changed_.wait_until(lock, deadline) == std::cv_status::no_timeout) continue;
      if (hub_.advance(numbers_[std::size_t(slot)], rank(), lock)) return receive(slot);
      if (hub_.find(numbers_[std::size_t(slot)]).state == ThreadHub::State::open) {
        lock.unlock();
        give_up(slot);
      }
    }
    receive(slot);
  }

  void receive(int slot) const {
    if (plan_ && plan_->received) plan_->received(rank(), collective(slot));
  }

  [[noreturn]] void give_up(int slot) override {
    std::unique_lock lock(hub_.mutex_);
    hub_.fail_locked(timeout_message(slot, hub_.absent_ranks(numbers_[std::size_t(slot)])) + "; the job ends", 1);
    hub_.check(rank());
    std::terminate();  // unreachable: check() throws
  }

  void follow_plan(int slot, std::int64_t number) {
    const double delay = plan_->delay ? plan_->delay(rank(), number, collective(slot)) : 0;
    if (std::isinf(delay)) {
      std::unique_lock lock(hub_.mutex_);
      hub_.changed_.wait(lock, [&] { return !hub_.failure_.empty(); });
      hub_.check(rank());
    }
    std::this_thread::sleep_for(std::chrono::duration<double>(delay));
    if (plan_->fails && plan_->fails(rank(), number, collective(slot)))
      throw Error("rank {} fails as planned before {}", rank(), description(collective(slot)));
  }

  ThreadHub& hub_;
  const ThreadPlan* plan_;
  std::int64_t calls_ = 0;
  std::vector<std::int64_t> numbers_;  ///< by slot: number of its collective
};

static_assert(Communicator<ThreadCommunicator>);

struct ThreadRanksOptions {
  double timeout_seconds = 1800;
  ThreadPlan plan{};
};

/// Runs f(communicator) on `size` threads. Returns the message of the exception that each rank threw, "" for none. A
/// rank that throws ends the job for all, like a process that dies.
template <class F>
std::vector<std::string> run_thread_ranks(int size, const ThreadRanksOptions& options, F&& f) {
  ThreadHub hub(size);
  std::vector<std::string> thrown;
  thrown.resize(std::size_t(hub.size()));
  const auto run_rank = [&](int rank) {
    ThreadCommunicator communicator(hub, rank, options.timeout_seconds, &options.plan);
    try {
      f(communicator);
      return;
    } catch (const std::exception& error) {
      thrown[std::size_t(rank)] = error.what();
    } catch (...) {
      thrown[std::size_t(rank)] = "an exception of an unknown type";
    }
    hub.fail(fmt::format("rank {} has ended: {}", rank, thrown[std::size_t(rank)]), 1);
  };
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank) threads.emplace_back(run_rank, rank);
  for (std::thread& thread : threads) thread.join();
  return thrown;
}

}  // namespace moderngpt2::distributed
