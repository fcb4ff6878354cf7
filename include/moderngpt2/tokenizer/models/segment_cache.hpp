#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>

#include "moderngpt2/tokenizer/models/id_writer.hpp"
#include "moderngpt2/tokenizer/table.hpp"

namespace moderngpt2::detail {

/// Per-thread cache of the ids of recent segments (mostly words), for any number of models. Memory is constant (2.5
/// MiB). Most segments are short and have few ids: these have two places in one cache line, the first for the one that
/// was used last, and a new segment takes the second, so that rare words do not displace frequent ones. Others have one
/// place.
class SegmentCache {
 public:
  static constexpr std::size_t longest_segment = 31;  // bytes
  static constexpr std::size_t most_ids = 7;
  static constexpr std::uint32_t most_models = std::uint32_t{1} << 29;

 private:
  static constexpr std::size_t longest_short = 15;

  /// A segment and its ids: bytes, zero padding and the length in the last byte.
  template <std::size_t words, std::size_t most>
  struct Entry {
    std::uint64_t key[words] = {};
    std::uint32_t model_and_count = 0;  // model numbers begin at 1
    int ids[most] = {};

    bool holds(const std::uint64_t* other, std::uint32_t model) const {
      std::uint64_t different = model_and_count >> 3 ^ model;
      for (std::size_t i = 0; i < words; ++i) different |= key[i] ^ other[i];
      return different == 0;
    }
    void set(const std::uint64_t* other, std::uint32_t model, std::span<const int> new_ids) {
      std::copy_n(other, words, key);
      model_and_count = model << 3 | static_cast<std::uint32_t>(new_ids.size());
      std::copy(new_ids.begin(), new_ids.end(), ids);
    }
    void add_to(IdWriter& out) const { out.add(ids, model_and_count & 7); }
  };
  using Short = Entry<2, 3>;
  using Long = Entry<4, most_ids>;
  struct alignas(64) ShortLine {
    Short entries[2];
  };
  struct alignas(64) LongLine {
    Long entry;
  };
  static_assert(sizeof(ShortLine) == 64 && sizeof(LongLine) == 64);

 public:
  /// Key of a segment and its place in the cache. Not initialized.
  class Slot {
    friend class SegmentCache;
    std::uint64_t key_[4];
    std::uint32_t model_;
    ShortLine* line_;  // null: none
  };

  static SegmentCache& of_this_thread() {
    thread_local SegmentCache cache;
    return cache;
  }

  /// Returns the number of a new model; most_models if none is left, and the model must not cache.
  static std::uint32_t next_model() {
    static std::atomic<std::uint32_t> number{0};
    return number < most_models ? ++number : most_models;
  }

  /// Whether a segment can be cached.
  static bool takes(std::size_t size, std::uint32_t model) { return size <= longest_segment && model < most_models; }

  /// Slot of the first `size` bytes of `text`, for which takes() is true. Fast if 32 bytes can be read. The place is
  /// fetched from memory without waiting for it: get the slots of several segments, then read them.
  Slot slot(std::string_view text, std::size_t size, std::uint32_t model) {
    Slot slot;
    slot.model_ = model;
    if (size <= longest_short) {
      read<2>(text, size, slot.key_);
      slot.key_[2] = slot.key_[3] = 0;
      slot.line_ = &short_[place<log2_short>(slot)];
      __builtin_prefetch(slot.line_);
    } else {
      read<4>(text, size, slot.key_);
      slot.line_ = nullptr;
    }
    return slot;
  }

  /// Adds the ids of a segment if the cache has them. Returns whether it has.
  bool add(const Slot& slot, IdWriter& out) {
    if (slot.line_) {
      Short* entries = slot.line_->entries;
      if (entries[0].holds(slot.key_, slot.model_)) return entries[0].add_to(out), true;
      if (entries[1].holds(slot.key_, slot.model_)) {
        std::swap(entries[0], entries[1]);
        return entries[0].add_to(out), true;
      }
    }
    const Long& entry = long_[place<log2_long>(slot)].entry;
    if (!entry.holds(slot.key_, slot.model_)) return false;
    return entry.add_to(out), true;
  }

  /// Stores the ids of a segment, unless they are too many.
  void store(const Slot& slot, std::span<const int> ids) {
    if (slot.line_ && ids.size() <= std::size(slot.line_->entries[0].ids))
      slot.line_->entries[1].set(slot.key_, slot.model_, ids);
    else if (ids.size() <= most_ids)
      long_[place<log2_long>(slot)].entry.set(slot.key_, slot.model_, ids);
  }

 private:
  static constexpr int log2_short = 15, log2_long = 13;

  /// Key of the first `size` bytes of `text`, fewer than the key's.
  template <std::size_t words>
  static void read(std::string_view text, std::size_t size, std::uint64_t (&key)[4]) {
    constexpr std::size_t bytes = words * sizeof(std::uint64_t);
    static constexpr auto masks = [] {
      struct {
        unsigned char bytes[2 * words * sizeof(std::uint64_t)];
      } kept{};
      for (std::size_t i = 0; i < words * sizeof(std::uint64_t); ++i) kept.bytes[i] = 0xFF;
      return kept;
    }();
    if (text.size() >= bytes) {
      std::uint64_t mask[words];
      std::memcpy(key, text.data(), bytes);
      std::memcpy(mask, masks.bytes + (bytes - size), bytes);
      for (std::size_t i = 0; i < words; ++i) key[i] &= mask[i];
    } else {
      std::memset(key, 0, bytes);
      std::memcpy(key, text.data(), size);
    }
    key[words - 1] |= std::uint64_t{size} << 56;
  }

  /// Four multiplications that do not wait for each other.
  template <int log2_places>
  static std::size_t place(const Slot& slot) {
    const std::uint64_t* key = slot.key_;
    return ((key[0] + slot.model_) * 0x9E3779B97F4A7C15u + key[1] * 0xD6E8FEB86659FD93u + key[2] * 0xA0761D6478BD642Fu +
            key[3] * 0xE7037ED1A0B428DBu) >>
           (64 - log2_places);
  }

  Table<ShortLine> short_ = Table<ShortLine>(std::size_t{1} << log2_short);
  Table<LongLine> long_ = Table<LongLine>(std::size_t{1} << log2_long);
};

}  // namespace moderngpt2::detail
