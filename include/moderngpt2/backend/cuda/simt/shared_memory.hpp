#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "moderngpt2/backend/cuda/simt/fiber.hpp"

namespace moderngpt2::simt {

/// Allocates memory that was never accessed, so that ThreadSanitizer knows of no access to it.
class FreshMemory {
 public:
  std::byte* take(std::size_t bytes) {
    bytes = (bytes + 127) / 128 * 128;
    if (!pages_.data() || used_ + bytes > pages_.size()) {
      pages_ = Mapping(std::max(bytes, std::size_t(4) << 20));
      used_ = 0;
    }
    used_ += bytes;
    return pages_.data() + (used_ - bytes);
  }

 private:
  Mapping pages_;
  std::size_t used_ = 0;
};

/// Shared memory of the running block: one dynamic region, and one for each static layout. Each block finds it filled
/// with NaN; with ThreadSanitizer it is new memory, so that blocks do not race with earlier ones.
class SharedMemory {
 public:
  static constexpr std::size_t alignment = 128;

  /// Begins a grid whose blocks have `bytes` bytes of dynamic shared memory.
  void begin_grid(std::size_t bytes) {
    regions_.clear();
    regions_.emplace_back(nullptr, bytes);
  }
  void begin_block(int warps) {
    if (has_tsan) tags_ = fresh_.take(std::size_t(warps + 1) * tags_per_warp * 8);
    for (Region& p : regions_) renew(p);
  }

  std::size_t dynamic_bytes() const { return regions_[0].bytes; }
  void* dynamic_data() const { return regions_[0].data; }
  /// Memory of the static layout that `key` identifies.
  void* of(const void* key, std::size_t bytes) {
    for (Region& p : regions_)
      if (p.key == key) return p.data;
    renew(regions_.emplace_back(key, bytes));
    return regions_.back().data;
  }

  /// Addresses for ThreadSanitizer's order of barriers within this block: two alternating ones for the block, and two
  /// for each mask of a warp (masks beyond the 15th share them).
  void* block_tag(std::uint64_t turn) const { return tag(int(turn & 1)); }
  void* warp_tag(int warp, int slot, std::uint64_t turn) const {
    return tag((warp + 1) * tags_per_warp + slot % 16 * 2 + int(turn & 1));
  }

 private:
  static constexpr int tags_per_warp = 32;

  struct Deleter {
    void operator()(std::byte* p) const { std::free(p); }
  };
  struct Region {
    const void* key;
    std::size_t bytes;
    std::byte* data = nullptr;
    std::unique_ptr<std::byte, Deleter> owned = nullptr;

    Region(const void* k, std::size_t n) : key(k), bytes(n) {}
  };

  void* tag(int n) const { return has_tsan ? tags_ + n * 8 : nullptr; }
  void renew(Region& p) {
    if (p.bytes == 0) return;
    if (has_tsan) {
      p.data = fresh_.take(p.bytes);
    } else if (!p.data) {
      void* memory = nullptr;  // exact size, so that AddressSanitizer detects the first byte beyond
      if (::posix_memalign(&memory, alignment, p.bytes) != 0)
        throw Error("cannot allocate {} bytes of shared memory for the simulated GPU", p.bytes);
      p.owned.reset(p.data = static_cast<std::byte*>(memory));
    }
    std::memset(p.data, 0xff, p.bytes);
  }

  std::vector<Region> regions_;
  FreshMemory fresh_;
  std::byte* tags_ = nullptr;
};

}  // namespace moderngpt2::simt
