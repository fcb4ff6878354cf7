#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "moderngpt2/backend/host.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/memory.hpp"
#include "moderngpt2/layers/pass.hpp"

namespace moderngpt2 {

/// KV cache: keys and values of all layers for `batch` sequences, (B,capacity,KD) each, in one allocation of fixed
/// size. The model writes through `views()`; `length()` is the number of valid tokens of each sequence. Threads: for
/// one thread at a time.
template <class T, class Memory = AlignedBuffer>
class KvCache {
 public:
  KvCache() = default;

  /// `capacity`: tokens of each sequence; `width`: KD, channels of the keys of one token. Throws an Error that states
  /// the size if memory is not available.
  KvCache(int layers, int batch, int capacity, int width) : batch_(batch), capacity_(capacity), width_(width) {
    if (layers < 0 || batch < 1 || capacity < 1 || width < 1)
      throw Error("internal: a cache of {} layers x {} sequences x {} tokens x {} channels", layers, batch, capacity,
                  width);
    const double least = 2.0 * layers * batch * capacity * width * sizeof(T);
    const auto refuse = [&] {
      throw Error("cannot allocate {:.2f} GiB for the keys and values of {} tokens: use fewer tokens",
                  least / (1 << 30), std::int64_t(batch) * capacity);
    };
    if (least > 0x1p62) refuse();
    const std::int64_t each = std::int64_t(batch) * capacity * width;
    try {
      memory_ = Memory(bytes(layers, batch, capacity, width));
    } catch (const Error&) {
      refuse();
    }
    Arena arena(memory_.data(), memory_.size());
    views_.reserve(std::size_t(layers));
    for (int layer = 0; layer < layers; ++layer) {
      T* keys = arena.take<T>(each);
      views_.push_back({keys, arena.take<T>(each), capacity});
    }
    one_ = views_;
  }

  /// One view for each layer, for Model::forward.
  std::span<const KvView<T>> views() const { return views_; }
  /// Views of one sequence, for a pass with batch 1. Valid until the next call.
  std::span<const KvView<T>> sequence(int index) {
    const std::int64_t at = std::int64_t(index) * capacity_ * width_;
    for (std::size_t layer = 0; layer < views_.size(); ++layer)
      one_[layer] = {views_[layer].keys + at, views_[layer].values + at, capacity_};
    return one_;
  }
  /// Copies keys and values of tokens [begin, end) from one sequence to another.
  template <class B>
  void copy(B& backend, int from, int to, int begin, int end) {
    if (from == to || begin >= end) return;
    const auto rows = [&](T* data, int index) {
      return Rows<T>(data + (std::int64_t(index) * capacity_ + begin) * width_, end - begin, width_);
    };
    for (const KvView<T>& view : views_)
      for (T* data : {view.keys, view.values}) copy_rows(backend, rows(data, to), rows(data, from));
  }

  int batch() const { return batch_; }
  int capacity() const { return capacity_; }
  std::size_t bytes() const { return memory_.size(); }
  /// Bytes of a cache of these sizes.
  static constexpr std::size_t bytes(int layers, int batch, int capacity, int width) {
    const std::size_t each = std::size_t(batch) * std::size_t(capacity) * std::size_t(width) * sizeof(T);
    return 2 * std::size_t(layers) * round_up(each, alignment);
  }

  /// Valid tokens of each sequence: `Pass::past` of the next pass.
  int length() const { return length_; }
  /// Adds `tokens` that a pass has written to length().
  void advance(int tokens) { set_length(length_ + tokens); }
  /// Discards all but the first `length` tokens.
  void truncate(int length) {
    if (length > length_) throw Error("internal: a cache of {} tokens cannot be truncated to {}", length_, length);
    set_length(length);
  }
  void reset() { length_ = 0; }

 private:
  void set_length(int length) {
    if (length < 0 || length > capacity_)
      throw Error("internal: {} tokens do not fit a cache of {}", length, capacity_);
    length_ = length;
  }

  Memory memory_;
  std::vector<KvView<T>> views_, one_;
  int batch_ = 0;
  int capacity_ = 0;
  int width_ = 0;
  int length_ = 0;
};

}  // namespace moderngpt2
