#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "moderngpt2/backend/cuda/memory.hpp"
#include "moderngpt2/backend/cuda/stream.hpp"

namespace moderngpt2::cuda {

/// What the host gives a pass: small arrays (ids, masks, labels) are written to pinned memory of this class, and copied
/// to the GPU in the order of its stream. An array stays device until what is queued after the next begin(). Where
/// passes are captured into a graph, none is fetched before that is launched: each has pinned memory of its own.
class Inputs {
 public:
  /// What an array of so many bytes takes.
  static constexpr std::size_t slot_bytes(std::size_t bytes) { return round_up(std::max<std::size_t>(bytes, 1), unit); }
  /// Takes memory for passes whose arrays take up to `bytes`, so that none of them has to, and for so many `buffers` in
  /// the pinned memory.
  void reserve(std::size_t bytes, int buffers = 2) {
    while (this->buffers() < buffers) {
      copied_.emplace_back();
      for (Chunk& chunk : chunks_) chunk.host.emplace_back(std::int64_t(chunk.bytes));
    }
    if (std::ranges::none_of(chunks_, [&](const Chunk& chunk) { return chunk.bytes >= bytes; }))
      chunks_.emplace_back(bytes, this->buffers());
  }
  int buffers() const { return int(copied_.size()); }
  /// Of GPU memory; of pinned memory device is as much for each turn.
  std::size_t bytes() const {
    std::size_t sum = 0;
    for (const Chunk& chunk : chunks_) sum += chunk.bytes;
    return sum;
  }

  /// Forgets the arrays of the last pass, which the GPU may be about to fetch: passes take buffers in the pinned
  /// memory. Waits until it has fetched those of the pass that had this turn before.
  void begin() {
    buffer_ = (buffer_ + 1) % buffers();
    if (!captures_)
      copied_[std::size_t(buffer_)].synchronize();
    else if (++captured_ > buffers())
      throw Error("internal: a graph of more passes than the {} that inputs were reserved for", buffers());
    chunk_ = used_ = 0;
  }

  /// From host to end_capture() passes are captured. Waits until the GPU has fetched what was added before.
  void begin_capture() {
    for (const Event& e : copied_) e.synchronize();
    captures_ = true, captured_ = 0;
  }
  void end_capture() { captures_ = false; }
  /// To be called when the graph was launched.
  void record_copies(cudaStream_t stream) {
    for (Event& e : copied_) e.record(stream);
  }

  /// write(n elements on the host) fills an array; what it is on the GPU.
  template <class E, class F>
  const E* add(cudaStream_t stream, std::int64_t n, F&& write) {
    const Slot place = take(std::size_t(n) * sizeof(E));
    return send(stream, static_cast<E*>(place.device), place, n, write);
  }
  /// The same to `to`.
  template <class E, class F>
  void add_to(cudaStream_t stream, E* to, std::int64_t n, F&& write) {
    send(stream, to, take(std::size_t(n) * sizeof(E)), n, write);
  }

 private:
  static constexpr std::size_t unit = 256, least = std::size_t(64) << 10;

  /// The same places on the host, once for each turn, and on the GPU.
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

  /// What is device is kept, since giving it back would wait for the GPU: a new chunk is as large as all others.
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
  std::size_t chunk_ = 0, used_ = 0;  // the one that is filled, and what of it is
  int buffer_ = 0;
  std::vector<Event> copied_ = std::vector<Event>(2);  // of each turn
  bool captures_ = false;
  int captured_ = 0;
};

}  // namespace moderngpt2::cuda
