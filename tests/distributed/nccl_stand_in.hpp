#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "moderngpt2/testing/thread_ranks.hpp"

namespace moderngpt2::distributed {

/// NCCL's calls and CUDA's, for ranks that are threads, on host memory. Streams work when an event on them is asked
/// for, in order, so that a missing event is a wrong result; calls are refused that NCCL would refuse, or that are not
/// in place. One for each rank.
class NcclStandIn {
 public:
  /// What goes wrong, and when.
  struct Plan {
    int polls_of_init = 3;           ///< it is in progress for so many; -1: for ever
    std::int64_t fails_at = -1;      ///< the collective from which on NCCL reports an error
    std::int64_t refuses_call = -1;  ///< the collective that NCCL does not take
  };

  struct Event;
  struct StreamQueue {
    std::deque<std::function<bool()>> work;
    void go_on() {
      while (!work.empty() && work.front()()) work.pop_front();
    }
  };
  using Stream = StreamQueue*;
  struct EventState {
    StreamQueue* stream = nullptr;
    int recorded = 0, reached = 0;
  };
  using Id = ThreadHub*;
  using Comm = ThreadCommunicator*;
  enum class Type { f32, f64, i64, bytes };
  static constexpr int success = 0, in_progress = 7, invalid = 4, system_error = 2;
  static constexpr Type float_type = Type::f32, double_type = Type::f64, int64_type = Type::i64,
                        byte_type = Type::bytes;
  static constexpr ReduceOp sum = ReduceOp::sum, max = ReduceOp::max, min = ReduceOp::min;

  struct Event {
    EventState* state = nullptr;
  };

  /// `hubs` keeps what new_id() makes.
  NcclStandIn(std::vector<std::unique_ptr<ThreadHub>>& hubs, int size, Plan plan)
      : hubs_(hubs), size_(size), plan_(plan) {}
  ~NcclStandIn() {
    if (hub_) hub_->fail("a rank is gone", 1);
    for (Request& request : requests_) request = Request();
  }
  NcclStandIn(const NcclStandIn&) = delete;
  NcclStandIn& operator=(const NcclStandIn&) = delete;

  Id new_id() { return hubs_.emplace_back(std::make_unique<ThreadHub>(size_)).get(); }

  int init(Comm* ranks, int size, Id id, int rank) {
    if (size != id->size()) return invalid;
    *ranks = ranks_.emplace_back(std::make_unique<ThreadCommunicator>(*id, rank, 3600)).get();
    hub_ = id;
    ++live;
    polls_ = plan_.polls_of_init;
    return in_progress;
  }
  int async_error(Comm, int* state) {
    *state = polls_ != 0 ? in_progress : has_failed() && ++polls_with_error_ > 2 ? system_error : success;
    if (polls_ > 0) --polls_;
    return success;
  }
  int finalize(Comm) {
    polls_ = 2;
    return in_progress;
  }
  void destroy(Comm) { --live; }
  void abort(Comm) {
    --live;
    ++aborted;
  }

  int group_start() { return depth_++ == 0 ? success : invalid; }
  int group_end() {
    if (--depth_ != 0) return invalid;
    polls_ = 1;
    return in_progress;
  }

  int reduce_scatter(const void* send, void* receive, std::size_t count, Type type, ReduceOp op, Comm ranks, Stream s) {
    const std::size_t slice = count * (type == Type::f32 ? 4 : 8) * std::size_t(ranks->rank());
    if (static_cast<const std::byte*>(send) + slice != receive || op != sum) return invalid;
    void* data = const_cast<void*>(send);
    return enqueue(s, [=] {
      if (type == Type::f32) return ranks->reduce_scatter(static_cast<float*>(data), std::int64_t(count), "nccl");
      return ranks->reduce_scatter(static_cast<double*>(data), std::int64_t(count), "nccl");
    });
  }
  int all_gather(const void* send, void* receive, std::size_t count, Type type, Comm ranks, Stream s) {
    if (static_cast<std::byte*>(receive) + count * std::size_t(ranks->rank()) != send || type != Type::bytes)
      return invalid;
    return enqueue(s, [=] { return ranks->all_gather(static_cast<std::byte*>(receive), std::int64_t(count), "nccl"); });
  }
  int all_reduce(const void* send, void* receive, std::size_t count, Type type, ReduceOp op, Comm ranks, Stream s) {
    if (send != receive) return invalid;
    const std::int64_t n = std::int64_t(count);
    return enqueue(s, [=] {
      if (type == Type::f32) return ranks->all_reduce(static_cast<float*>(receive), n, op, "nccl");
      if (type == Type::f64) return ranks->all_reduce(static_cast<double*>(receive), n, op, "nccl");
      return ranks->all_reduce(static_cast<std::int64_t*>(receive), n, op, "nccl");
    });
  }
  int broadcast(const void* send, void* receive, std::size_t count, Type type, int root, Comm ranks, Stream s) {
    if (send != receive || type != Type::bytes) return invalid;
    return enqueue(
        s, [=] { return ranks->broadcast(static_cast<std::byte*>(receive), std::int64_t(count), root, "nccl"); });
  }
  std::string error_text(int code, Comm) { return code == invalid ? "invalid argument" : "unhandled system error"; }

  void use_device(int) {}
  Stream make_stream() {
    ++live;
    return &streams_.emplace_back();
  }
  Event make_event() {
    ++live;
    return {&events_.emplace_back()};
  }
  void* allocate_zeroed(std::size_t bytes) {
    ++live;
    return std::calloc(1, bytes);
  }
  void record(Event event, Stream stream) {
    event.state->stream = stream;
    stream->work.push_back([state = event.state, number = ++event.state->recorded] {
      state->reached = number;
      return true;
    });
  }
  void wait_for(Stream stream, Event event) {
    stream->work.push_back([state = event.state, number = event.state->recorded] {
      state->stream->go_on();
      return state->reached >= number;
    });
  }
  bool is_done(Event event) {
    event.state->stream->go_on();
    return event.state->reached == event.state->recorded;
  }
  void destroy_stream(Stream) { --live; }
  void destroy_event(Event) { --live; }
  void free(void* data) {
    --live;
    std::free(data);
  }

  int live = 0;  ///< what was made and not destroyed
  int aborted = 0;

 private:
  bool has_failed() const { return plan_.fails_at >= 0 && collectives_ > plan_.fails_at; }

  /// Work of a stream that begins a collective when its turn comes, and is over when that is.
  int enqueue(Stream stream, std::function<Request()> begin) {
    if (depth_ != 1 || collectives_ == plan_.refuses_call) return invalid;
    Request& request = requests_.emplace_back();
    const bool fails = collectives_++ == plan_.fails_at;
    stream->work.push_back([&request, begin = std::move(begin), fails, has_begun = false]() mutable {
      if (fails) return false;
      try {
        if (!has_begun) request = begin();
        has_begun = true;
        return request.done();
      } catch (const JobEnded&) {  // another rank is gone: a kernel that never ends
        return false;
      }
    });
    return success;
  }

  std::vector<std::unique_ptr<ThreadHub>>& hubs_;
  ThreadHub* hub_ = nullptr;
  int size_, polls_ = 0, polls_with_error_ = 0, depth_ = 0;
  std::int64_t collectives_ = 0;
  Plan plan_;
  std::vector<std::unique_ptr<ThreadCommunicator>> ranks_;
  std::deque<StreamQueue> streams_;
  std::deque<EventState> events_;
  std::deque<Request> requests_;
};

}  // namespace moderngpt2::distributed
