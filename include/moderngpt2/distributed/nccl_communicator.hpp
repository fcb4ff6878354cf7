#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "moderngpt2/core/clock.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/distributed/communicator.hpp"

namespace moderngpt2::distributed {

/// Rank and number of ranks, of the job and of this machine.
struct RankPlace {
  int rank = 0, size = 1, local_rank = 0, local_size = 1;
};

inline RankPlace place_of(const CommunicatorBase& ranks) {
  return {ranks.rank(), ranks.size(), ranks.local_rank(), ranks.local_size()};
}

/// Function that ends all processes of the job; does not return.
using EndJob = std::function<void(const std::string& why, int status)>;

/// NCCL id of the job, created by rank 0 and broadcast over `host`, a communicator for host memory.
template <class Api>
typename Api::Id shared_nccl_id(Api& api, CommunicatorBase& host) {
  typename Api::Id id{};
  if (host.rank() == 0) id = api.new_id();
  host.broadcast(&id, 1, 0, "the id of the NCCL communicator").wait();
  return id;
}

/// Communicator over NCCL: each rank has one GPU; buffers are in GPU memory. Collectives run on a separate stream,
/// after the work that is queued on the compute stream when they are issued. Once wait() returns, the compute stream
/// may use the result. `Api` provides the calls of NCCL and CUDA: NcclLibrary of nccl.hpp, or a mock in tests. Threads:
/// one at a time.
template <class Api>
class NcclCommunicator final : public CommunicatorBase {
 public:
  using Stream = typename Api::Stream;

  /// `api` must outlive the communicator. `end_job`: by default exits this process; the launcher then ends the others.
  NcclCommunicator(Api& api, const RankPlace& place, const typename Api::Id& id, Stream compute,
                   double timeout_seconds = 1800, EndJob end_job = {})
      : CommunicatorBase(place.rank, place.size, timeout_seconds),
        api_(api),
        place_(place),
        end_job_(std::move(end_job)),
        compute_(compute) {
    api_.use_device(place.local_rank);
    const int code = api_.init(&ranks_, place.size, id, place.rank);
    try {
      settle(code, "the start of NCCL");
      stream_ = api_.make_stream();
      ready_ = api_.make_event();
      barrier_word_ = api_.allocate_zeroed(sizeof(float));
    } catch (...) {
      drop();
      throw;
    }
  }

  ~NcclCommunicator() override {
    if (std::uncaught_exceptions() > 0) has_failed_ = true;
    finish();
    drop();
    for (const auto& event : done_) api_.destroy_event(event);
    api_.destroy_event(ready_);
    api_.destroy_stream(stream_);
    api_.free(barrier_word_);
  }

  int local_rank() const override { return place_.local_rank; }
  int local_size() const override { return place_.local_size; }

 private:
  [[noreturn]] void end_job(const std::string& why, int status) override {
    has_failed_ = true;
    if (end_job_) end_job_(why, status);
    std::fflush(nullptr);
    std::fprintf(stderr, "rank %d: %s; the job ends\n", rank(), why.c_str());
    std::this_thread::sleep_for(std::chrono::milliseconds(500));  // lets the other ranks print their lines
    std::_Exit(status);
  }

  /// Aborts the communicator, which ends kernels that wait for other ranks.
  void drop() noexcept {
    if (auto ranks = std::exchange(ranks_, {})) api_.abort(ranks);
  }

  void finish() noexcept {
    if (has_failed_ || !ranks_) return;
    const double begin = seconds_now();
    int state = api_.finalize(ranks_);
    while (state == Api::in_progress && seconds_now() - begin < timeout_seconds()) state = asynchronous_error();
    if (state == Api::success) api_.destroy(std::exchange(ranks_, {}));
  }

  void start(int slot) override {
    if (has_failed_) throw Error("{}: NCCL has failed earlier", description(collective(slot)));
    while (done_.size() <= std::size_t(slot)) done_.push_back(api_.make_event());
    const Collective& c = collective(slot);
    api_.record(ready_, compute_);
    api_.wait_for(stream_, ready_);
    check(api_.group_start(), c);
    check(enqueue(c), c);
    settle(api_.group_end(), description(c));
    api_.record(done_[std::size_t(slot)], stream_);
  }

  int enqueue(const Collective& c) {
    const std::size_t count = std::size_t(c.count), bytes = std::size_t(c.bytes());
    std::byte* const mine = c.data + rank() * c.bytes();
    switch (c.kind) {
      case CollectiveKind::reduce_scatter:
        return api_.reduce_scatter(c.data, mine, count, type(c), reduction(c), ranks_, stream_);
      case CollectiveKind::all_gather:
        return api_.all_gather(mine, c.data, bytes, Api::byte_type, ranks_, stream_);
      case CollectiveKind::all_reduce:
        return api_.all_reduce(c.data, c.data, count, type(c), reduction(c), ranks_, stream_);
      case CollectiveKind::broadcast:
        return api_.broadcast(c.data, c.data, bytes, Api::byte_type, c.root, ranks_, stream_);
      case CollectiveKind::barrier:
        break;
    }
    return api_.all_reduce(barrier_word_, barrier_word_, 1, Api::float_type, Api::sum, ranks_, stream_);
  }

  static auto type(const Collective& c) {
    return c.dtype == Dtype::f32 ? Api::float_type : c.dtype == Dtype::f64 ? Api::double_type : Api::int64_type;
  }
  static auto reduction(const Collective& c) {
    return c.op == ReduceOp::sum ? Api::sum : c.op == ReduceOp::max ? Api::max : Api::min;
  }

  bool test(int slot) override {
    if (has_failed_) throw Error("{}: NCCL has failed", description(collective(slot)));
    if (api_.is_done(done_[std::size_t(slot)])) return true;
    if (++tests_ % 64 == 0) check(asynchronous_error(), collective(slot));
    return false;
  }

  [[noreturn]] void give_up(int slot) override {
    abort(
        timeout_message(slot, "the GPU of another rank has not reached it; look at the rank that does not print this"),
        1);
  }

  void check(int code, const Collective& c) {
    if (code != Api::success && code != Api::in_progress) fail(code, description(c));
  }

  [[noreturn]] void fail(int code, const std::string& what) {
    has_failed_ = true;
    const std::string text = api_.error_text(code, ranks_);
    drop();
    throw Error("{} failed: NCCL reports {}", what, text);
  }

  int asynchronous_error() {
    int state = Api::success;
    const int code = api_.async_error(ranks_, &state);
    return code != Api::success ? code : state;
  }

  /// Waits for a non-blocking call to complete, up to the timeout.
  void settle(int code, const std::string& what) {
    for (const double begin = seconds_now(); code == Api::in_progress; code = asynchronous_error()) {
      if (seconds_now() - begin > timeout_seconds())
        abort(
            fmt::format("{} has not finished within {:g} s: another rank has not reached it", what, timeout_seconds()),
            1);
      std::this_thread::yield();
    }
    if (code != Api::success) fail(code, what);
  }

  Api& api_;
  RankPlace place_;
  EndJob end_job_;
  Stream compute_, stream_{};
  typename Api::Comm ranks_{};
  typename Api::Event ready_{};
  std::vector<typename Api::Event> done_;  ///< by slot
  void* barrier_word_ = nullptr;
  std::int64_t tests_ = 0;
  bool has_failed_ = false;
};

}  // namespace moderngpt2::distributed
