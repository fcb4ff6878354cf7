#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <thread>
#include <utility>
#include <vector>

#include "moderngpt2/backend/cuda/simt/machine.hpp"
#include "moderngpt2/backend/cuda/simt/stream.hpp"
#include "moderngpt2/backend/cuda/simt/virtual_memory.hpp"

namespace moderngpt2::simt {

/// State of a simulated GPU: memory, streams and limits. Each host thread has a GPU of its own, unless a DeviceScope
/// gives it that of another thread. Tests set the limits.
///
/// Threads: functions, but not data members, may be called by several threads that share the GPU. Each runs whole
/// operations of any stream, one at a time, whereas the streams of a real GPU run at once. Threads that share a GPU
/// must not use NCCL, whose waits would hold it.
class Device {
 public:
  static constexpr std::size_t guard_bytes = 256;

  std::size_t memory_bytes = std::size_t(8) << 30;  ///< capacity
  std::size_t max_pinned_bytes = std::size_t(-1);   ///< limit of one pinned allocation
  std::size_t shared_bytes_per_block = 227 * 1024;  ///< limit; more than 48 KiB needs cudaFuncSetAttribute
  int visible_gpus = 1;                             ///< number reported; only device 0 exists
  int compute_major = 9, compute_minor = 0, multiprocessors = 132;
  bool maps_memory = true;       ///< whether virtual memory management is supported
  std::int64_t waits = 0;        ///< number of times the host waited for pending work
  std::int64_t allocations = 0;  ///< number of allocations of GPU and pinned memory
  std::int64_t queued = 0;       ///< number of operations queued, without those of captures
  std::int64_t graphs_instantiated = 0, graphs_updated = 0;

  Device() = default;
  Device(const Device&) = delete;
  ~Device() {
    for (const auto& [data, bytes] : allocations_) release_block(data, bytes);
  }

  /// Allocates memory filled with NaN; null if the capacity is exceeded. AddressSanitizer reports accesses by the host.
  void* allocate(std::size_t bytes) {
    const Lock lock(mutex_);
    if (bytes > memory_bytes - used()) return nullptr;
    ++allocations;
    auto* block = static_cast<std::byte*>(::operator new(bytes + 2 * guard_bytes, std::align_val_t(guard_bytes)));
    std::memset(block, guard, guard_bytes);
    std::memset(block + guard_bytes, 0xff, bytes);
    std::memset(block + guard_bytes + bytes, guard, guard_bytes);
    sanitizer::poison(block, bytes + 2 * guard_bytes);
    allocations_[block + guard_bytes] = bytes;
    used_ += bytes;
    return block + guard_bytes;
  }
  /// Frees memory after waiting for all work, like cudaFree. False if it was not allocated.
  bool free(void* data) {
    const Lock lock(mutex_);
    const auto it = allocations_.find(static_cast<std::byte*>(data));
    if (it == allocations_.end()) return false;
    synchronize();
    const auto [at, bytes] = *it;
    allocations_.erase(it);
    used_ -= bytes;
    check_guards(at, bytes);
    release_block(at, bytes);
    return true;
  }
  /// Allocates pinned host memory; null if it exceeds max_pinned_bytes.
  void* allocate_pinned(std::size_t bytes) {
    const Lock lock(mutex_);
    ++allocations;
    return bytes > max_pinned_bytes ? nullptr : ::operator new(bytes, std::nothrow);
  }
  std::size_t used() const {
    const Lock lock(mutex_);
    return used_ + virtual_memory.used();
  }

  VirtualMemory virtual_memory;

  /// Raises the limit of a kernel's dynamic shared memory, in bytes. False if no block may have so much.
  bool set_shared_limit(const void* kernel, int bytes) {
    const Lock lock(mutex_);
    if (bytes < 0 || std::size_t(bytes) > shared_bytes_per_block) return false;
    shared_limits_[kernel] = std::size_t(bytes);
    return true;
  }
  std::size_t shared_limit(const void* kernel) const {
    const Lock lock(mutex_);
    const auto found = shared_limits_.find(kernel);
    return found == shared_limits_.end() ? std::size_t(48 * 1024) : found->second;
  }

  Stream* create_stream() {
    const Lock lock(mutex_);
    return streams_.emplace_back(std::make_unique<Stream>()).get();
  }
  void destroy_stream(Stream* s) {
    const Lock lock(mutex_);
    synchronize(*s);
    std::erase_if(streams_, [s](const auto& each) { return each.get() == s; });
  }
  /// Default stream. Not ordered with other streams, since those of this library are non-blocking.
  Stream& default_stream() {
    const Lock lock(mutex_);
    if (!has_default_) streams_.insert(streams_.begin(), std::make_unique<Stream>()), has_default_ = true;
    return *streams_[0];
  }

  /// Queues an operation, or adds it to the graph being captured. False if the capture has been invalidated.
  bool enqueue(Stream& s, StreamOperation op) {
    const Lock lock(mutex_);
    if (s.has_broken_capture) return false;
    if (s.capture) {
      refuse_order(s, op.is_ready != nullptr);
      s.capture->nodes.push_back({std::move(op.run), op.kind});
      return true;
    }
    sanitizer::release(op.issued.get());
    sanitizer::Quiet quiet;
    ++queued;
    s.queue.push_back(std::move(op));
    while (machine().random() && machine().choose(4) == 0 && run_one()) {
    }
    return true;
  }
  /// Invalidates all captures of this thread, as cudaStreamCaptureModeThreadLocal demands for calls that wait for the
  /// GPU or change its memory. Returns whether there was a capture.
  bool breaks_captures() {
    const Lock lock(mutex_);
    bool breaks = false;
    for (auto& s : streams_)
      if (s->capture) breaks = s->has_broken_capture = true;
    return breaks;
  }
  void record(Stream& s, Event& e) {
    const Lock lock(mutex_);
    refuse_order(s, true);
    const std::uint64_t recording = ++e.recorded;
    enqueue(s, {.run = [&e, recording] {
              e.finished = recording, e.when = std::chrono::steady_clock::now();
              sanitizer::release(&e.tag);
            }});
  }
  void wait(Stream& s, Event& e) {
    const Lock lock(mutex_);
    refuse_order(s, true);
    enqueue(s, {.run = [&e] { sanitizer::acquire(&e.tag); }, .after = &e, .recording = e.recorded});
  }

  void synchronize(Stream& s) {
    const Lock lock(mutex_);
    waits += !s.queue.empty();
    run_until([&s] { return s.queue.empty(); });
    sanitizer::acquire(&s.done);
  }
  void synchronize(Event& e) {
    const Lock lock(mutex_);
    {
      sanitizer::Quiet quiet;  // progress is not data of host or GPU
      waits += e.finished < e.recorded;
    }
    run_until([&e, recording = e.recorded] { return e.finished >= recording; });
    sanitizer::acquire(&e.tag);
  }
  /// Whether the work before the last record is complete. Runs one operation first, as a GPU makes progress meanwhile.
  bool query(Event& e) {
    const Lock lock(mutex_);
    sanitizer::Quiet quiet;
    if (e.finished < e.recorded) (void)run_one();
    return e.finished >= e.recorded;
  }
  void synchronize() {
    const Lock lock(mutex_);
    const auto idle = [this] {
      return std::all_of(streams_.begin(), streams_.end(), [](auto& s) { return s->queue.empty(); });
    };
    waits += !idle();
    run_until(idle);
    for (auto& s : streams_) sanitizer::acquire(&s->done);
  }

 private:
  static constexpr int guard = 0xfb;
  using Lock = std::lock_guard<std::recursive_mutex>;

  /// Refuses events and waits for others during a capture, which the simulated GPU supports for one stream only.
  static void refuse_order(const Stream& s, bool has_order) {
    if (s.capture && has_order)
      throw Fault("simulated GPU: a capture supports the work of one stream, without events or NCCL");
  }

  static void release_block(std::byte* data, std::size_t bytes) {
    sanitizer::unpoison(data - guard_bytes, bytes + 2 * guard_bytes);
    ::operator delete(data - guard_bytes, std::align_val_t(guard_bytes));
  }
  /// Throws a Fault if a guard was overwritten, and repairs it, so that it is reported once.
  static void check_guards(std::byte* data, std::size_t bytes) {
    sanitizer::unpoison(data - guard_bytes, bytes + 2 * guard_bytes);
    for (std::size_t i = 0; i < guard_bytes; ++i) {
      const bool before = data[-1 - std::ptrdiff_t(i)] != std::byte(guard);
      if (!before && data[bytes + i] == std::byte(guard)) continue;
      std::memset(data - guard_bytes, guard, guard_bytes);
      std::memset(data + bytes, guard, guard_bytes);
      throw Fault("simulated GPU: something wrote {} bytes {} an allocation of {} bytes", before ? i + 1 : i,
                  before ? "before" : "after the end of", bytes);
    }
  }

  template <class F>
  void run_until(F&& done) {
    sanitizer::Quiet quiet;
    while (!done()) {
      if (run_one()) continue;
      if (!waits_for_others()) throw Fault("simulated GPU: deadlock, each stream waits for an event of another");
      std::this_thread::yield();
    }
    if (has_asan) return;
    for (const auto& [data, bytes] : allocations_) check_guards(data, bytes);
  }

  static bool is_able(const StreamOperation& op) {
    return (!op.after || op.after->finished >= op.recording) && (!op.is_ready || op.is_ready());
  }
  bool waits_for_others() const {
    return std::any_of(streams_.begin(), streams_.end(),
                       [](const auto& s) { return !s->queue.empty() && s->queue[0].is_ready; });
  }

  /// Runs the first operation of some stream that is ready. False if there is none.
  bool run_one() {
    std::vector<Stream*> able;
    for (auto& s : streams_)
      if (!s->queue.empty() && is_able(s->queue[0])) able.push_back(s.get());
    if (able.empty()) return false;
    Stream& s = *able[machine().choose(std::uint32_t(able.size()))];
    running_ = &s;
    s.fiber.prepare(&Device::serve);
    for (const auto& [data, bytes] : allocations_) sanitizer::unpoison(data, bytes);
    virtual_memory.unpoison();
    Fiber host;
    host_ = &host;
    Fiber::change(host, s.fiber);
    for (const auto& [data, bytes] : allocations_) sanitizer::poison(data, bytes);
    virtual_memory.poison();
    s.queue.pop_front();
    if (failure_) {  // discards queued work, as a GPU does after a fault
      for (auto& each : streams_) {
        each->queue.clear();
        sanitizer::acquire(&each->done);
      }
      std::rethrow_exception(std::exchange(failure_, nullptr));
    }
    return true;
  }
  static Fiber& serve();

  mutable std::recursive_mutex mutex_;
  std::map<const void*, std::size_t> shared_limits_;  // by kernel
  std::map<std::byte*, std::size_t> allocations_;
  std::size_t used_ = 0;
  std::vector<std::unique_ptr<Stream>> streams_;
  bool has_default_ = false;
  Stream* running_ = nullptr;
  Fiber* host_ = nullptr;
  std::exception_ptr failure_;
};

/// Simulated GPU of the calling thread.
inline Device& device();

/// Makes the calling thread use a GPU of another thread, for the lifetime of this object.
class DeviceScope {
 public:
  explicit DeviceScope(Device& shared) : before_(std::exchange(current_, &shared)) {}
  ~DeviceScope() { current_ = before_; }
  DeviceScope(const DeviceScope&) = delete;
  DeviceScope& operator=(const DeviceScope&) = delete;

 private:
  friend Device& device();

  static inline thread_local Device* current_ = nullptr;  // null: the thread's own
  Device* before_;
};

inline Device& device() {
  if (DeviceScope::current_) return *DeviceScope::current_;
  static thread_local Device own;
  return own;
}

/// Entry of a stream's fiber: runs one operation.
inline Fiber& Device::serve() {
  Device& d = device();
  const StreamOperation* op;
  {
    sanitizer::Quiet quiet;
    op = &d.running_->queue.front();
    sanitizer::acquire(op->issued.get());
  }
  try {
    op->run();
  } catch (...) {
    sanitizer::Quiet quiet;
    d.failure_ = std::current_exception();
  }
  sanitizer::release(&d.running_->done);
  return *d.host_;
}

}  // namespace moderngpt2::simt
