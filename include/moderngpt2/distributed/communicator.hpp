#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "moderngpt2/core/clock.hpp"
#include "moderngpt2/core/dtype.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/stop.hpp"
#include "moderngpt2/distributed/collective.hpp"

namespace moderngpt2::distributed {

class CommunicatorBase;

/// Handle of an asynchronous collective. Its buffer must not be used until wait() returns or done() returns true. A
/// default-constructed Request is done. The destructor waits. Threads: that of its communicator.
class Request {
 public:
  Request() = default;
  Request(CommunicatorBase& communicator, int slot) : communicator_(&communicator), slot_(slot) {}
  Request(Request&& other) noexcept : communicator_(std::exchange(other.communicator_, nullptr)), slot_(other.slot_) {}
  Request& operator=(Request&& other) noexcept {
    if (this == &other) return *this;
    finish_quietly();
    communicator_ = std::exchange(other.communicator_, nullptr);
    slot_ = other.slot_;
    return *this;
  }
  ~Request() { finish_quietly(); }

  /// Blocks until the collective is done. Ends the job if that takes longer than the communicator's timeout.
  void wait();
  /// Whether the collective is done. Never blocks; lets the library make progress on all collectives.
  bool done();

 private:
  /// Waits without exceptions: after a failure, the next collective throws.
  void finish_quietly() noexcept {
    try {
      wait();
    } catch (...) {
    }
  }

  CommunicatorBase* communicator_ = nullptr;
  int slot_ = 0;
};

/// Base class of all communicators: typed collectives, timeout, byte count, trace. Code that does not know the type of
/// communicator at compile time uses a CommunicatorBase&. Each rank calls it from one thread; all ranks must issue the
/// same collectives in the same order. Buffers are in host memory, for NCCL in GPU memory. `what` names a collective in
/// messages and traces. Threads: one at a time.
class CommunicatorBase {
 public:
  CommunicatorBase(int rank, int size, double timeout_seconds) : rank_(rank), size_(size), timeout_(timeout_seconds) {}
  CommunicatorBase(const CommunicatorBase&) = delete;
  CommunicatorBase& operator=(const CommunicatorBase&) = delete;
  virtual ~CommunicatorBase() = default;

  int rank() const { return rank_; }
  int size() const { return size_; }
  /// Rank among the ranks of this machine, and their number.
  virtual int local_rank() const { return rank_; }
  virtual int local_size() const { return size_; }
  /// Number of processors that the ranks of this machine may use together.
  virtual int local_processors() const { return int(std::thread::hardware_concurrency()); }

  /// Sums data (size() * count_per_rank) over the ranks, in place: slice rank() then holds the sum of that slice, the
  /// other slices are undefined.
  template <class E>
  Request reduce_scatter(E* data, std::int64_t count_per_rank, const char* what) {
    static_assert(std::is_same_v<E, float> || std::is_same_v<E, double>, "sums are of float or double");
    return issue(CollectiveKind::reduce_scatter, data, count_per_rank, ReduceOp::sum, 0, what);
  }

  /// Gathers data (size() * count_per_rank), in place: on input slice rank() is valid, on output all slices.
  template <class E>
  Request all_gather(E* data, std::int64_t count_per_rank, const char* what) {
    static_assert(std::is_trivially_copyable_v<E>);
    return issue(CollectiveKind::all_gather, data, count_per_rank, ReduceOp::sum, 0, what);
  }

  /// Reduces data (count) element by element over the ranks, in place, with the result on all ranks.
  template <class E>
  Request all_reduce(E* data, std::int64_t count, ReduceOp op, const char* what) {
    static_assert(std::is_same_v<E, float> || std::is_same_v<E, double> || std::is_same_v<E, std::int64_t>,
                  "reductions are of float, double or int64");
    return issue(CollectiveKind::all_reduce, data, count, op, 0, what);
  }

  /// Copies data (count) of rank `root` to all ranks.
  template <class E>
  Request broadcast(E* data, std::int64_t count, int root, const char* what) {
    static_assert(std::is_trivially_copyable_v<E>);
    if (root < 0 || root >= size_) throw Error("{}: root rank {} is outside 0..{}", what, root, size_ - 1);
    return issue(CollectiveKind::broadcast, data, count, ReduceOp::sum, root, what);
  }

  /// Returns when all ranks have called it.
  void barrier(const char* what) {
    issue(CollectiveKind::barrier, static_cast<std::byte*>(nullptr), 0, ReduceOp::sum, 0, what).wait();
  }

  /// Ends the job on all ranks, with a line on standard error and exit status `status` (some launchers report their
  /// own).
  [[noreturn]] void abort(const std::string& why, int status) {
    end_job(why, status);
    std::terminate();  // unreachable: compilers ignore [[noreturn]] of a virtual function
  }

  /// Sets the training step that messages name.
  void set_step(std::int64_t step) { step_ = step; }
  /// Sets the hook for completed collectives; not called with one rank.
  void set_trace(TraceHook hook) { trace_ = std::move(hook); }
  /// Sets a function that returns the number of a signal that asked this process to stop, else 0. A rank that still
  /// waits 0.2 s after a signal prints the collective that it waits for: when a rank dies, launchers send SIGTERM to
  /// the others before they kill them.
  void set_stop(std::function<int()> stop) { stop_ = std::move(stop); }
  /// Bytes sent by this rank so far, as ring_bytes() counts them.
  std::int64_t bytes_moved() const { return bytes_moved_; }
  double timeout_seconds() const { return timeout_; }
  void set_timeout(double seconds) { timeout_ = seconds; }

 protected:
  friend class Request;

  /// Implements abort(). Processes print "rank 2: WHY; the job ends".
  [[noreturn]] virtual void end_job(const std::string& why, int status) = 0;
  /// Starts the collective in `slot`.
  virtual void start(int slot) = 0;
  /// Whether the collective in `slot` is done; makes progress on all. Throws or ends the job on failure.
  virtual bool test(int slot) = 0;
  /// Throws or ends the job because the collective in `slot` has timed out.
  [[noreturn]] virtual void give_up(int slot) = 0;

  /// Waits for the collective in `slot`; calls give_up() after the timeout.
  virtual void wait(int slot) {
    const double begin = seconds_now();
    while (!test(slot)) {
      const double waited = seconds_now() - begin;
      if (waited > timeout_) give_up(slot);
      if (waited < 0.02) {
        std::this_thread::yield();  // ranks may share a core
        continue;
      }
      std::this_thread::sleep_for(std::chrono::microseconds(20));
      if (const int signal = stop_ ? stop_() : 0) note_signal(slot, signal);
    }
  }

  const Collective& collective(int slot) const { return slots_[std::size_t(slot)]; }

  /// Message such as "all-gather of bucket 3 in step 17 has not finished within 600 s: DETAIL".
  std::string timeout_message(int slot, const std::string& detail) const {
    return fmt::format("{} has not finished within {:g} s: {}", description(collective(slot)), timeout_, detail);
  }

 private:
  void note_signal(int slot, int signal) {
    if (signal_seen_ == 0) signal_seen_ = seconds_now();
    if (signal_is_noted_ || seconds_now() - signal_seen_ < 0.2) return;
    signal_is_noted_ = true;
    std::fprintf(stderr, "rank %d: received %s while waiting for %s\n", rank_, stop_name(signal).c_str(),
                 description(collective(slot)).c_str());
  }

  template <class E>
  Request issue(CollectiveKind kind, E* data, std::int64_t count, ReduceOp op, int root, const char* what) {
    if (count < 0) throw Error("{}: count is {}, it must not be negative", what, count);
    Collective c{.kind = kind,
                 .data = reinterpret_cast<std::byte*>(data),
                 .count = count,
                 .element_size = int(sizeof(E)),
                 .dtype = dtype_of<E>.value_or(Dtype::u8),
                 .op = op,
                 .root = root,
                 .step = step_};
    if (size_ == 1) return {};
    c.begin = seconds_now();
    c.name(what);
    const int slot = take_slot();
    slots_[std::size_t(slot)] = c;
    try {
      start(slot);
    } catch (...) {
      free_.push_back(slot);
      throw;
    }
    return {*this, slot};
  }

  int take_slot() {
    if (free_.empty()) {
      free_.push_back(int(slots_.size()));
      slots_.emplace_back();
      free_.reserve(slots_.size());
    }
    const int slot = free_.back();
    free_.pop_back();
    return slot;
  }

  void release(int slot, bool is_done) {
    const Collective& c = slots_[std::size_t(slot)];
    free_.push_back(slot);
    if (!is_done) return;
    bytes_moved_ += ring_bytes(c, size_);
    if (trace_) trace_(c.begin, seconds_now(), c.what, ring_bytes(c, size_));
  }

  int rank_, size_;
  double timeout_;
  std::int64_t step_ = -1, bytes_moved_ = 0;
  TraceHook trace_;
  std::function<int()> stop_;
  double signal_seen_ = 0;  ///< seconds_now() at the first poll that returned a signal; 0: none
  bool signal_is_noted_ = false;
  std::vector<Collective> slots_;  ///< grows to the largest number of concurrent collectives
  std::vector<int> free_;
};

inline void Request::wait() {
  CommunicatorBase* communicator = std::exchange(communicator_, nullptr);
  if (!communicator) return;
  try {
    communicator->wait(slot_);
  } catch (...) {
    communicator->release(slot_, false);
    throw;
  }
  communicator->release(slot_, true);
}

inline bool Request::done() {
  if (!communicator_) return true;
  if (!communicator_->test(slot_)) return false;
  std::exchange(communicator_, nullptr)->release(slot_, true);
  return true;
}

/// Requirements on a communicator; CommunicatorBase documents the calls.
template <class C>
concept Communicator = requires(C& c, const C& k, float* f, double* d, std::int64_t* i, std::byte* b, std::int64_t n) {
  { k.rank() } -> std::same_as<int>;
  { k.size() } -> std::same_as<int>;
  { k.local_rank() } -> std::same_as<int>;
  { k.local_size() } -> std::same_as<int>;
  { c.reduce_scatter(f, n, "") } -> std::same_as<Request>;
  { c.reduce_scatter(d, n, "") } -> std::same_as<Request>;
  { c.all_gather(b, n, "") } -> std::same_as<Request>;
  { c.all_reduce(f, n, ReduceOp::sum, "") } -> std::same_as<Request>;
  { c.all_reduce(d, n, ReduceOp::max, "") } -> std::same_as<Request>;
  { c.all_reduce(i, n, ReduceOp::min, "") } -> std::same_as<Request>;
  { c.broadcast(b, n, 0, "") } -> std::same_as<Request>;
  c.barrier("");
  c.abort(std::string(), 1);
  c.set_step(n);
  { k.bytes_moved() } -> std::same_as<std::int64_t>;
};

/// Communicator of a job with one rank: every collective is a no-op, abort() throws JobEnded. Threads: one at a time.
class SingleCommunicator final : public CommunicatorBase {
 public:
  SingleCommunicator() : CommunicatorBase(0, 1, 0) {}

 private:
  [[noreturn]] void end_job(const std::string& why, int status) override { throw JobEnded(why, status); }
  void start(int) override {}
  bool test(int) override { return true; }
  void wait(int) override {}
  [[noreturn]] void give_up(int) override { throw Error("internal: a single rank cannot time out"); }
};

static_assert(Communicator<SingleCommunicator>);

/// Returns `*ranks`, or a SingleCommunicator of the calling thread if `ranks` is null. The latter outlives its thread,
/// so that an object that refers to it may be used by another one.
inline CommunicatorBase& ranks_or_single(CommunicatorBase* ranks) {
  if (ranks) return *ranks;
  static std::mutex mutex;
  static std::deque<SingleCommunicator> all;
  static thread_local SingleCommunicator& own = [&]() -> SingleCommunicator& {
    const std::lock_guard<std::mutex> lock(mutex);
    return all.emplace_back();
  }();
  return own;
}

}  // namespace moderngpt2::distributed
