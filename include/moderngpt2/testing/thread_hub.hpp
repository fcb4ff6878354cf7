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

/// Does one collective on the buffers of all ranks.
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

  /// What is not given, or is undefined afterwards, is made useless, so that nobody counts on it.
  static void spoil(const Collective& c, int rank, int size) {
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
    for (std::size_t r = 0; r < ranks.size(); ++r) spoil(ranks[r], int(r), int(ranks.size()));
  }

  static void copy(const std::vector<Collective>& ranks, std::size_t from, std::int64_t offset, std::int64_t bytes) {
    for (std::size_t to = 0; to < ranks.size(); ++to)
      if (to != from && bytes > 0) std::memcpy(ranks[to].data + offset, ranks[from].data + offset, std::size_t(bytes));
  }
};

/// A collective that some ranks have joined.
struct Gathering {
  enum class State { open, ready, working, done };
  std::int64_t number = -1;  ///< position in the order of all; -1: free
  State state = State::open;
  std::vector<Collective> ranks;
  std::vector<char> joined;
  int arrived = 0, taken = 0;
};

}  // namespace moderngpt2::distributed::detail

namespace moderngpt2::distributed {

/// Where ranks that are threads of one process meet. Outlives their communicators. The work of a collective is done by
/// the first rank that waits for it or tests it after all have joined, as late as can be: a missing wait() is a wrong
/// result, and a data race for ThreadSanitizer.
class ThreadHub {
 public:
  explicit ThreadHub(int size) : size_(size), joined_(std::size_t(size), 0) {
    if (size < 1) throw Error("a job of {} ranks", size);
  }
  ThreadHub(const ThreadHub&) = delete;
  ThreadHub& operator=(const ThreadHub&) = delete;

  int size() const { return size_; }

  /// Ends the job for all ranks: each throws from what it waits for, or from its next collective. The first reason
  /// counts.
  void fail(const std::string& reason, int status) {
    const std::lock_guard lock(mutex_);
    fail_locked(reason, status);
  }

 private:
  friend class ThreadCommunicator;
  using State = detail::Gathering::State;

  void fail_locked(const std::string& reason, int status) {
    if (!failure_.empty()) return;
    failure_ = reason;
    status_ = status;
    changed_.notify_all();
  }
  void check(int rank) const {
    if (!failure_.empty()) throw JobEnded(fmt::format("rank {}: {}", rank, failure_), status_);
  }

  detail::Gathering& gathering(std::int64_t number) {
    detail::Gathering* free = nullptr;
    for (detail::Gathering& g : gatherings_) {
      if (g.number == number) return g;
      if (g.number < 0) free = &g;
    }
    if (!free) free = &gatherings_.emplace_back();
    free->number = number;
    free->state = State::open;
    free->ranks.resize(std::size_t(size_));
    free->joined.assign(std::size_t(size_), 0);
    free->arrived = free->taken = 0;
    return *free;
  }

  /// Rank `rank` joins its next collective; returns the number of that.
  std::int64_t join(int rank, const Collective& c) {
    const std::lock_guard lock(mutex_);
    check(rank);
    const std::int64_t number = joined_[std::size_t(rank)]++;
    detail::Gathering& g = gathering(number);
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

  /// Whether it is done, after doing it where that is due; `lock` holds mutex_. Once true the rank has taken it.
  bool advance(std::int64_t number, int rank, std::unique_lock<std::mutex>& lock) {
    detail::Gathering& g = find(number);
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

  detail::Gathering& find(std::int64_t number) {
    return *std::find_if(gatherings_.begin(), gatherings_.end(), [=](const auto& g) { return g.number == number; });
  }

  /// "rank 1 has not called it (5 calls before)": who is missing in collective `number`.
  std::string missing(std::int64_t number) {
    std::string text;
    const detail::Gathering& g = find(number);
    for (int r = 0; r < size_; ++r)
      if (!g.joined[std::size_t(r)])
        text += fmt::format("{}rank {} has not called it ({} calls before)", text.empty() ? "" : ", ", r,
                            joined_[std::size_t(r)]);
    return text.empty() ? "all ranks have called it" : text;
  }

  int size_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::int64_t> joined_;          ///< collectives of each rank so far
  std::deque<detail::Gathering> gatherings_;  ///< references stay good as it grows
  std::string failure_;
  int status_ = 1;
};

}  // namespace moderngpt2::distributed
