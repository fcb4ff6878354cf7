#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <mutex>
#include <string>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/distributed/collective.hpp"

namespace moderngpt2::distributed::detail {

template <class E>
void reduce_in_rank_order(const std::vector<Collective>& ranks, std::int64_t begin, std::int64_t end, ReduceOp op,
                          E* result) {
  for (std::int64_t i = begin; i < end; ++i) {
    E value = reinterpret_cast<const E*>(ranks[0].data)[i];
    for (std::size_t r = 1; r < ranks.size(); ++r) {
      const E other = reinterpret_cast<const E*>(ranks[r].data)[i];
      value = op == ReduceOp::sum   ? value + other
              : op == ReduceOp::max ? std::max(value, other)
                                    : std::min(value, other);
    }
    result[i - begin] = value;
  }
}

/// Performs one collective on the buffers of all ranks.
class HubWork {
 public:
  static void run(const std::vector<Collective>& ranks) {
    switch (ranks[0].kind) {
      case CollectiveKind::reduce_scatter:
      case CollectiveKind::all_reduce:
        return ranks[0].dtype == Dtype::f32   ? reduce<float>(ranks)
               : ranks[0].dtype == Dtype::f64 ? reduce<double>(ranks)
                                              : reduce<std::int64_t>(ranks);
      case CollectiveKind::all_gather:
        for (std::size_t from = 0; from < ranks.size(); ++from) {
          const std::int64_t offset = std::int64_t(from) * ranks[0].bytes();
          copy(ranks, from, offset, ranks[0].bytes());
        }
        return;
      case CollectiveKind::broadcast:
        return copy(ranks, std::size_t(ranks[0].root), 0, ranks[0].bytes());
      case CollectiveKind::barrier:
        return;
    }
  }

  /// Overwrites the parts of a buffer that are not input, or undefined as output, with NaN bytes, so that tests detect
  /// a read of them.
  static void poison(const Collective& c, int rank, int size) {
    if (c.count == 0) return;
    if (c.kind == CollectiveKind::broadcast && c.root != rank) std::memset(c.data, 0xff, std::size_t(c.bytes()));
    if (c.kind != CollectiveKind::all_gather && c.kind != CollectiveKind::reduce_scatter) return;
    for (int r = 0; r < size; ++r)
      if (r != rank) std::memset(c.data + r * c.bytes(), 0xff, std::size_t(c.bytes()));
  }

 private:
  template <class E>
  static void reduce(const std::vector<Collective>& ranks) {
    const Collective& first = ranks[0];
    const std::int64_t count = first.count;
    if (first.kind == CollectiveKind::all_reduce) {
      reduce_in_rank_order(ranks, 0, count, first.op, reinterpret_cast<E*>(first.data));
      return copy(ranks, 0, 0, first.bytes());
    }
    for (std::size_t r = 0; r < ranks.size(); ++r) {
      const std::int64_t begin = std::int64_t(r) * count;
      reduce_in_rank_order(ranks, begin, begin + count, first.op, reinterpret_cast<E*>(ranks[r].data) + begin);
    }
    for (std::size_t r = 0; r < ranks.size(); ++r) poison(ranks[r], int(r), int(ranks.size()));
  }

  static void copy(const std::vector<Collective>& ranks, std::size_t from, std::int64_t offset, std::int64_t bytes) {
    for (std::size_t to = 0; to < ranks.size(); ++to)
      if (to != from && bytes > 0) std::memcpy(ranks[to].data + offset, ranks[from].data + offset, std::size_t(bytes));
  }
};

/// Collective that some ranks have joined.
struct PendingCollective {
  enum class State { open, ready, working, done };
  std::int64_t number = -1;  ///< index in the order of collectives; -1: free
  State state = State::open;
  std::vector<Collective> ranks;
  std::vector<char> joined;
  int arrived = 0, taken = 0;
};

}  // namespace moderngpt2::distributed::detail

namespace moderngpt2::distributed {

/// Shared state of ranks that are threads of one process; must outlive their communicators. A collective is performed
/// by the first rank that waits for it or polls it after all have joined, and not earlier, so that a missing wait()
/// gives a wrong result and a data race that ThreadSanitizer reports.
class ThreadHub {
 public:
  explicit ThreadHub(int size) : size_(size), joined_(std::size_t(size), 0) {
    if (size < 1) throw Error("number of ranks is {}, it must be positive", size);
  }
  ThreadHub(const ThreadHub&) = delete;
  ThreadHub& operator=(const ThreadHub&) = delete;

  int size() const { return size_; }

  /// Ends the job for all ranks: each throws JobEnded from its pending or next collective. Only the first reason is
  /// kept.
  void fail(const std::string& reason, int status) {
    const std::lock_guard lock(mutex_);
    fail_locked(reason, status);
  }

 private:
  friend class ThreadCommunicator;
  using State = detail::PendingCollective::State;

  void fail_locked(const std::string& reason, int status) {
    if (!failure_.empty()) return;
    failure_ = reason;
    status_ = status;
    changed_.notify_all();
  }
  void check(int rank) const {
    if (!failure_.empty()) throw JobEnded(fmt::format("rank {}: {}", rank, failure_), status_);
  }

  detail::PendingCollective& pending(std::int64_t number) {
    detail::PendingCollective* free = nullptr;
    for (detail::PendingCollective& g : pending_) {
      if (g.number == number) return g;
      if (g.number < 0) free = &g;
    }
    if (!free) free = &pending_.emplace_back();
    free->number = number;
    free->state = State::open;
    free->ranks.resize(std::size_t(size_));
    free->joined.assign(std::size_t(size_), 0);
    free->arrived = free->taken = 0;
    return *free;
  }

  /// Adds a rank to its next collective. Returns the number of that collective. Fails the job if the arguments differ.
  std::int64_t join(int rank, const Collective& c) {
    const std::lock_guard lock(mutex_);
    check(rank);
    const std::int64_t number = joined_[std::size_t(rank)]++;
    detail::PendingCollective& g = pending(number);
    for (int r = 0; r < size_; ++r)
      if (g.joined[std::size_t(r)] && differs(g.ranks[std::size_t(r)], c)) {
        fail_locked(fmt::format("collective {} is {} ({} elements) on rank {} but {} ({} elements) on rank {}", number,
                                description(g.ranks[std::size_t(r)]), g.ranks[std::size_t(r)].count, r, description(c),
                                c.count, rank),
                    1);
        check(rank);
      }
    g.ranks[std::size_t(rank)] = c;
    g.joined[std::size_t(rank)] = 1;
    if (++g.arrived == size_) {
      g.state = State::ready;
      changed_.notify_all();
    }
    return number;
  }

  static bool differs(const Collective& a, const Collective& b) {
    return a.kind != b.kind || a.count != b.count || a.element_size != b.element_size || a.dtype != b.dtype ||
           a.op != b.op || a.root != b.root || std::strcmp(a.what, b.what) != 0;
  }

  /// Whether a collective is done; performs it if all ranks have joined and none performs it yet. `lock` holds mutex_.
  /// Call no more once it has returned true.
  bool advance(std::int64_t number, int rank, std::unique_lock<std::mutex>& lock) {
    detail::PendingCollective& g = find(number);
    if (g.state == State::open || g.state == State::ready) check(rank);
    if (g.state == State::ready) {
      g.state = State::working;
      lock.unlock();
      detail::HubWork::run(g.ranks);
      lock.lock();
      g.state = State::done;
      changed_.notify_all();
    }
    if (g.state != State::done) return false;
    if (++g.taken == size_) g.number = -1;
    return true;
  }

  detail::PendingCollective& find(std::int64_t number) {
    return *std::find_if(pending_.begin(), pending_.end(), [=](const auto& g) { return g.number == number; });
  }

  /// Text such as "rank 1 has not called it (5 calls before)" on the ranks that have not joined collective `number`.
  std::string absent_ranks(std::int64_t number) {
    std::string text;
    const detail::PendingCollective& g = find(number);
    for (int r = 0; r < size_; ++r)
      if (!g.joined[std::size_t(r)])
        text += fmt::format("{}rank {} has not called it ({} calls before)", text.empty() ? "" : ", ", r,
                            joined_[std::size_t(r)]);
    return text.empty() ? "all ranks have called it" : text;
  }

  int size_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::int64_t> joined_;               ///< by rank: collectives joined so far
  std::deque<detail::PendingCollective> pending_;  ///< a deque: references stay valid as it grows
  std::string failure_;
  int status_ = 1;
};

}  // namespace moderngpt2::distributed
