#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <source_location>
#include <string>
#include <string_view>
#include <vector>

#include "moderngpt2/backend/cuda/simt/fiber.hpp"
#include "moderngpt2/backend/cuda/simt/rendezvous.hpp"
#include "moderngpt2/backend/cuda/simt/shared_memory.hpp"
#include "moderngpt2/core/error.hpp"

// Vector types of CUDA that kernels and launchers use.

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct alignas(8) int2 {
  int x, y;
};
struct alignas(16) int4 {
  int x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};

namespace moderngpt2::simt {

/// Error of a kernel or of the host that the simulated GPU detects, such as a deadlock or an overwritten guard.
class Fault : public Error {
 public:
  using Error::Error;
};

/// Asynchronous copy to shared memory that is issued and not complete.
struct PendingCopy {
  void* to;
  const void* from;
  int bytes;  ///< copied bytes of 16; the rest becomes zero
  int group;
};

/// One CUDA thread of the running block.
struct Thread {
  Fiber* fiber = nullptr;
  uint3 index{};
  int linear = 0, warp = 0, lane = 0;
  bool done = false;
  const char* waits_in = nullptr;  ///< name of the collective; null if the thread can run
  std::uint32_t mask = 0;
  std::source_location where;
  std::vector<PendingCopy> copies;
  int copy_groups = 0;
};

/// Runs grids on the calling system thread: blocks one after another, the threads of a block as fibers that switch in
/// collectives. With a seed, the order of blocks, threads and asynchronous copies is random.
class Machine {
 public:
  /// Seed of the schedule. 0, the default: everything runs in order.
  void seed(std::uint64_t seed) { random_ = seed == 0 ? 0 : seed * 0x9E3779B97F4A7C15 | 1; }
  bool random() const { return random_ != 0; }
  /// Runs only the first and the last block of each grid, for tensors too large to be allocated as a whole.
  void run_ends_only(bool yes) { ends_only_ = yes; }
  /// Random number in [0, n); 0 without a seed.
  std::uint32_t choose(std::uint32_t n) {
    if (random_ == 0 || n <= 1) return 0;
    random_ ^= random_ << 13, random_ ^= random_ >> 7, random_ ^= random_ << 17;
    return std::uint32_t((random_ >> 32) * n >> 32);
  }

  void run_grid(dim3 grid, dim3 block, std::size_t shared_bytes, const std::function<void()>& kernel);

  /// The running CUDA thread.
  Thread& thread() { return *current_; }
  bool in_kernel() const { return current_ != nullptr; }
  const dim3& grid() const { return grid_; }
  const dim3& block() const { return block_; }
  const uint3& block_index() const { return block_index_; }
  SharedMemory& shared() { return shared_; }
  Rendezvous& rendezvous(int warp, std::uint32_t mask) { return warps_[std::size_t(warp)].of(mask); }
  /// Addresses for ThreadSanitizer's happens-before order: one for fences, one for each barrier.
  void* fence_tag() { return &fence_tag_; }
  void* barrier_tag() { return shared_.block_tag(barrier_turn_); }

  /// Suspends the running thread until ready() is called for it.
  void wait(const char* what, std::uint32_t mask, std::source_location where) {
    current_->waits_in = what, current_->mask = mask, current_->where = where;
    next();
    current_->waits_in = nullptr;
  }
  void ready(Thread& t) { ready_.push_back(&t); }
  /// Lets other threads run first, at random, if there is a seed.
  void maybe_yield() {
    if (random_ == 0 || choose(2) == 0) return;
    ready(*current_);
    next();
  }
  void barrier(std::source_location where);
  /// Ends the grid. The host gets a Fault with this text and the state of the block.
  [[noreturn]] void fail(std::string what, std::source_location where);

 private:
  static constexpr std::size_t fiber_shift = 37;

  void prepare_threads();
  void run_block(const std::function<void()>& kernel);
  Fiber& choose_next();
  void next();
  std::string report(std::string_view what) const;
  static Fiber& enter();

  Fiber* home_ = nullptr;
  Thread* current_ = nullptr;
  std::vector<std::unique_ptr<Thread>> threads_;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::deque<Thread*> ready_;
  std::vector<Thread*> at_barrier_;
  std::vector<WarpRendezvous> warps_;
  SharedMemory shared_;
  dim3 grid_, block_;
  uint3 block_index_{};
  int count_ = 0, live_ = 0;
  bool ends_only_ = false;
  std::uint64_t barrier_turn_ = 0, blocks_run_ = 0, random_ = 0;
  const std::function<void()>* kernel_ = nullptr;
  std::string fault_;
  char fence_tag_ = 0, start_tag_ = 0, end_tag_ = 0;
};

/// Machine of the calling system thread.
inline Machine& machine() {
  static thread_local Machine one;
  return one;
}

/// "file.cpp:12", without folders.
inline std::string place(std::source_location where) {
  const std::string_view file = where.file_name();
  return fmt::format("{}:{}", file.substr(file.rfind('/') + 1), where.line());
}

inline std::string Machine::report(std::string_view what) const {
  std::string text = fmt::format("simulated GPU: {}, in block ({},{},{}) of {} threads", what, block_index_.x,
                                 block_index_.y, block_index_.z, count_);
  int exited = 0, shown = 0, waiting = 0;
  std::string_view kind;
  for (int i = 0; i < count_; ++i) {
    const Thread& t = *threads_[std::size_t(i)];
    exited += t.done;
    if (t.done || !t.waits_in) continue;
    ++waiting;
    const std::string here = place(t.where);
    const bool differs = shown == 0 || t.waits_in != kind;
    if (shown >= 8 || (!differs && shown >= 4)) continue;
    ++shown, kind = t.waits_in;
    text += fmt::format("; thread {} (warp {}, lane {}) waits in {} with mask {:08x} at {}", i, t.warp, t.lane,
                        t.waits_in, t.mask, here);
  }
  return text + fmt::format("; {} threads wait, {} have exited", waiting, exited);
}

inline void Machine::fail(std::string what, std::source_location where) {
  sanitizer::Quiet quiet;
  if (current_)
    what += fmt::format(" by thread {} (warp {}, lane {})", current_->linear, current_->warp, current_->lane);
  what += " at " + place(where);
  if (!current_) throw Fault("simulated GPU: {}", what);
  fault_ = report(what);
  std::string().swap(what);  // the stack is abandoned, without destructors
  Fiber::change(*current_->fiber, *home_, true);
  std::abort();
}

inline Fiber& Machine::choose_next() {
  if (ready_.empty()) {
    if (live_ > 0) fault_ = report("deadlock");
    current_ = nullptr;
    return *home_;
  }
  std::swap(ready_.front(), ready_[choose(std::uint32_t(ready_.size()))]);
  current_ = ready_.front();
  ready_.pop_front();
  return *current_->fiber;
}

inline void Machine::next() {
  Fiber& from = *current_->fiber;
  Fiber& to = choose_next();
  if (&to != &from) Fiber::change(from, to);
}

inline Fiber& Machine::enter() {
  Machine& m = machine();
  sanitizer::acquire(&m.start_tag_);
  (*m.kernel_)();
  sanitizer::release(&m.end_tag_);
  sanitizer::Quiet quiet;
  m.current_->done = true;
  --m.live_;
  return m.choose_next();
}

inline void Machine::barrier(std::source_location where) {
  void* const tag = barrier_tag();
  sanitizer::release(tag);
  {
    sanitizer::Quiet quiet;
    if (!at_barrier_.empty() && at_barrier_[0]->where.line() != where.line()) {
      std::string text = fmt::format("__syncthreads met by thread {} at ", at_barrier_[0]->linear);
      text += place(at_barrier_[0]->where);
      fail(std::move(text), where);
    }
    if (int(at_barrier_.size()) + 1 == count_) {
      for (Thread* t : at_barrier_) ready(*t);
      at_barrier_.clear();
      ++barrier_turn_;
      maybe_yield();
    } else {
      at_barrier_.push_back(current_);
      wait("__syncthreads", 0xffffffffu, where);
    }
  }
  sanitizer::acquire(tag);
}

inline void Machine::prepare_threads() {
  while (int(threads_.size()) < count_) threads_.push_back(std::make_unique<Thread>());
  warps_.resize(std::size_t(count_ + 31) / 32);
  // With ThreadSanitizer consecutive blocks share no fiber, so that races between them are reported.
  const std::size_t fibers = has_tsan ? 2 * std::size_t(count_) + fiber_shift : std::size_t(count_);
  while (fibers_.size() < fibers) fibers_.push_back(std::make_unique<Fiber>());
  for (int i = 0; i < count_; ++i) {
    Thread& t = *threads_[std::size_t(i)];
    t.linear = i, t.warp = i / 32, t.lane = i % 32;
    const unsigned n = unsigned(i);
    t.index = {n % block_.x, n / block_.x % block_.y, n / (block_.x * block_.y)};
  }
}

inline void Machine::run_block(const std::function<void()>& kernel) {
  kernel_ = &kernel;
  shared_.begin_block(int(warps_.size()));
  ready_.clear(), at_barrier_.clear();
  for (WarpRendezvous& w : warps_) w.begin_block();
  barrier_turn_ = 0, live_ = count_;
  const std::size_t first_fiber = ++blocks_run_ * (std::size_t(count_) + fiber_shift);
  for (int i = 0; i < count_; ++i) {
    Thread& t = *threads_[std::size_t(i)];
    t.done = false, t.waits_in = nullptr, t.copy_groups = 0;
    t.copies.clear();
    t.fiber = fibers_[has_tsan ? (first_fiber + std::size_t(i)) % fibers_.size() : std::size_t(i)].get();
    t.fiber->prepare(&Machine::enter);
    ready(t);
  }
  std::swap(ready_.front(), ready_[choose(std::uint32_t(count_))]);
  current_ = ready_.front();
  ready_.pop_front();
  Fiber::change(*home_, *current_->fiber);
  current_ = nullptr;
}

inline void Machine::run_grid(dim3 grid, dim3 block, std::size_t shared_bytes, const std::function<void()>& kernel) {
  sanitizer::release(&start_tag_);
  {
    sanitizer::Quiet quiet;
    Fiber home;
    home_ = &home;
    grid_ = grid, block_ = block;
    count_ = int(block.x * block.y * block.z);
    prepare_threads();
    shared_.begin_grid(shared_bytes);
    const std::uint64_t blocks = std::uint64_t(grid.x) * grid.y * grid.z;
    std::vector<std::uint32_t> order;
    if (random_ != 0 && !ends_only_) {
      order.resize(blocks);
      for (std::uint32_t i = 0; i < blocks; ++i) {
        const std::uint32_t at = choose(i + 1);
        order[i] = order[at], order[at] = i;
      }
    }
    for (std::uint64_t i = 0; i < blocks; ++i) {
      if (ends_only_ && i > 0) i = blocks - 1;
      const std::uint64_t b = order.empty() ? i : order[i];
      block_index_ = {unsigned(b % grid.x), unsigned(b / grid.x % grid.y), unsigned(b / grid.x / grid.y)};
      run_block(kernel);
      if (fault_.empty()) continue;
      // Threads that did not end are abandoned. With ThreadSanitizer their fibers leak, since it does not allow another
      // thread to destroy them.
      for (int t = 0; t < count_; ++t) threads_[std::size_t(t)]->fiber->release_for(&end_tag_);
      sanitizer::acquire(&end_tag_);
      for (auto& f : fibers_)
        if (has_tsan) static_cast<void>(f.release());
      fibers_.clear();
      throw Fault("{}", std::exchange(fault_, {}));
    }
  }
  sanitizer::acquire(&end_tag_);
}

}  // namespace moderngpt2::simt
