#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "moderngpt2/backend/cuda/memory.hpp"
#include "moderngpt2/backend/cuda/stream.hpp"
#include "moderngpt2/core/abi.hpp"

namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI {

/// Uploads the inputs of passes: small arrays (ids, masks, labels) are written to a pinned buffer and copied to the GPU
/// in stream order. An array on the GPU is valid for all work queued before the next begin(). Passes use the pinned
/// buffers round-robin, so that the host can prepare one while the GPU reads another. All passes of a captured graph
/// are prepared before it is launched, so each of them needs a buffer of its own. Threads: one at a time.
class Inputs {
 public:
  /// Bytes that an array of `bytes` bytes takes in a buffer: at least 1, rounded up to a multiple of 256.
  static constexpr std::size_t slot_bytes(std::size_t bytes) { return round_up(std::max<std::size_t>(bytes, 1), unit); }
  /// Allocates memory for passes whose arrays take up to `bytes` bytes in all, with at least `buffers` pinned buffers.
  /// Such passes then allocate nothing.
  void reserve(std::size_t bytes, int buffers = 2) {
    while (this->buffers() < buffers) {
      copied_.emplace_back();
      for (Chunk& chunk : chunks_) chunk.host.emplace_back(std::int64_t(chunk.bytes));
    }
    if (std::ranges::none_of(chunks_, [&](const Chunk& chunk) { return chunk.bytes >= bytes; }))
      chunks_.emplace_back(bytes, this->buffers());
  }
  /// Number of pinned buffers. Default: 2.
  int buffers() const { return int(copied_.size()); }
  /// Allocated bytes of GPU memory, which is also the size of each pinned buffer.
  std::size_t bytes() const {
    std::size_t sum = 0;
    for (const Chunk& chunk : chunks_) sum += chunk.bytes;
    return sum;
  }

  /// Begins a pass: discards the arrays of the previous one and moves to the next pinned buffer. Waits until the GPU
  /// has copied what that buffer held before. Throws an Error if a captured graph has more passes than buffers().
  void begin() {
    buffer_ = (buffer_ + 1) % buffers();
    if (!captures_)
      copied_[std::size_t(buffer_)].synchronize();
    else if (++captured_ > buffers())
      throw Error("internal: the graph has more passes than the {} for which inputs were reserved", buffers());
    chunk_ = used_ = 0;
  }

  /// Begins the capture of passes into a graph, until end_capture(). Waits until the GPU has copied all earlier inputs.
  void begin_capture() {
    for (const Event& e : copied_) e.synchronize();
    captures_ = true, captured_ = 0;
  }
  void end_capture() { captures_ = false; }
  /// Called after each launch of the captured graph: marks its copies as pending.
  void record_copies(cudaStream_t stream) {
    for (Event& e : copied_) e.record(stream);
  }

  /// Calls write(array of n elements in pinned memory), then queues its upload. Returns the array in GPU memory.
  template <class E, class F>
  const E* add(cudaStream_t stream, std::int64_t n, F&& write) {
    const Slot place = take(std::size_t(n) * sizeof(E));
    return send(stream, static_cast<E*>(place.device), place, n, write);
  }
  /// Calls write(array of n elements in pinned memory), then queues its copy to `to` (n) in GPU memory.
  template <class E, class F>
  void add_to(cudaStream_t stream, E* to, std::int64_t n, F&& write) {
    send(stream, to, take(std::size_t(n) * sizeof(E)), n, write);
  }

 private:
  static constexpr std::size_t unit = 256, least = std::size_t(64) << 10;

  /// Memory on the GPU and its counterpart in each pinned buffer.
  struct Chunk {
    Chunk(std::size_t size, int buffers) : bytes(size), device(size) {
      for (int i = 0; i < buffers; ++i) host.emplace_back(std::int64_t(size));
    }
    std::size_t bytes;
    std::vector<PinnedArray<std::byte>> host;
    DeviceMemory device;
  };
  struct Slot {
    void *host, *device;
  };

  /// Existing chunks are kept, since freeing them would wait for the GPU. A new one is as large as all others together.
  Slot take(std::size_t bytes) {
    bytes = slot_bytes(bytes);
    for (; chunk_ < chunks_.size() && used_ + bytes > chunks_[chunk_].bytes; ++chunk_) used_ = 0;
    if (chunk_ == chunks_.size()) chunks_.emplace_back(std::max({bytes, least, this->bytes()}), buffers());
    const std::size_t at = std::exchange(used_, used_ + bytes);
    return {chunks_[chunk_].host[std::size_t(buffer_)].data() + at,
            static_cast<std::byte*>(chunks_[chunk_].device.data()) + at};
  }
  template <class E, class F>
  E* send(cudaStream_t stream, E* to, const Slot& place, std::int64_t n, F&& write) {
    E* const host = static_cast<E*>(place.host);
    write(host);
    copy(stream, to, static_cast<const E*>(host), n);
    if (!captures_) copied_[std::size_t(buffer_)].record(stream);
    return to;
  }

  std::vector<Chunk> chunks_;
  std::size_t chunk_ = 0, used_ = 0;  // index of the chunk being filled, and bytes used of it
  int buffer_ = 0;
  std::vector<Event> copied_ = std::vector<Event>(2);  // one per buffer: its copies are complete
  bool captures_ = false;
  int captured_ = 0;
};

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI
