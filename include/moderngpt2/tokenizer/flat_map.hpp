#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "moderngpt2/tokenizer/table.hpp"

namespace moderngpt2::detail {

/// Key of a pair of ids or symbols in a FlatMap.
template <class Id>
std::uint64_t pair_key(Id left, Id right) {
  return std::uint64_t{static_cast<std::uint32_t>(left)} << 32 | static_cast<std::uint32_t>(right);
}

/// Hash map from 64-bit keys to small values: one flat array with linear probing. Encoding does one lookup per pair of
/// adjacent symbols, and std::unordered_map's chains cost an additional cache miss. Keys cannot be removed; the key
/// 2^64-1 is reserved.
template <class Value>
class FlatMap {
 public:
  explicit FlatMap(std::size_t expected = 0) {
    std::size_t capacity = 16;
    while (capacity < 2 * expected) capacity *= 2;
    slots_.resize(capacity);
  }

  void set(std::uint64_t key, Value value) {
    if (2 * (size_ + 1) > slots_.size()) grow();
    Slot& slot = slots_[position(key)];
    if (slot.key == empty) ++size_;
    slot = {key, value};
  }

  /// Value of a key; a new key gets Value{}.
  Value& operator[](std::uint64_t key) {
    if (2 * (size_ + 1) > slots_.size()) grow();
    Slot& slot = slots_[position(key)];
    if (slot.key == empty) {
      slot.key = key;
      ++size_;
    }
    return slot.value;
  }

  const Value* find(std::uint64_t key) const {
    const Slot& slot = slots_[position(key)];
    return slot.key == empty ? nullptr : &slot.value;
  }

  /// Calls f(key, value) for each entry, in no particular order.
  template <class F>
  void for_each(F&& f) const {
    for (const Slot& slot : slots_)
      if (slot.key != empty) f(slot.key, slot.value);
  }

  std::size_t size() const { return size_; }

 private:
  static constexpr std::uint64_t empty = ~std::uint64_t{0};
  struct Slot {
    std::uint64_t key = empty;
    Value value{};
  };

  std::size_t position(std::uint64_t key) const {
    const std::size_t mask = slots_.size() - 1;
    std::uint64_t hash = key * 0x9E3779B97F4A7C15u;  // Fibonacci hashing uses the high bits
    hash ^= hash >> 32;
    std::size_t at = hash & mask;
    while (slots_[at].key != empty && slots_[at].key != key) at = (at + 1) & mask;
    return at;
  }

  void grow() {
    FlatMap larger(slots_.size());
    for (const Slot& slot : slots_)
      if (slot.key != empty) larger.set(slot.key, slot.value);
    *this = std::move(larger);
  }

  Table<Slot> slots_;
  std::size_t size_ = 0;
};

}  // namespace moderngpt2::detail
