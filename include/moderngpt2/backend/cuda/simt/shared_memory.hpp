#pragma once

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "moderngpt2/backend/cuda/simt/fiber.hpp"

namespace moderngpt2::simt {

/// Shared memory of the running block: one piece of dynamic size and one for each static layout. For every block it is
/// full of NaN; under ThreadSanitizer the pages are new, so that no block races with one before it.
class SharedMemory {
 public:
  static constexpr std::size_t alignment = 128;

  /// `bytes` of dynamic memory for each block of the next grid.
  void begin_grid(std::size_t bytes) {
    pieces_.clear();
    pieces_.emplace_back(nullptr, bytes);
  }
  void begin_block() {
    if (has_tsan) tags_ = Mapping(tag_bytes);
    for (Piece& p : pieces_) p.renew();
  }

  std::size_t dynamic_bytes() const { return pieces_[0].bytes; }
  void* dynamic_data() const { return pieces_[0].data(); }
  /// The memory of the static layout that `key` stands for.
  void* of(const void* key, std::size_t bytes) {
    for (Piece& p : pieces_)
      if (p.key == key) return p.data();
    pieces_.emplace_back(key, bytes).renew();
    return pieces_.back().data();
  }

  /// Addresses for the order that barriers make, of this block alone.
  void* tag(int n) const { return has_tsan ? tags_.data() + std::size_t(n) * 8 % tag_bytes : nullptr; }

 private:
  static constexpr std::size_t tag_bytes = 64 * 1024;

  struct Free {
    void operator()(std::byte* p) const { std::free(p); }
  };
  struct Piece {
    const void* key;
    std::size_t bytes;
    std::unique_ptr<std::byte, Free> block;
    Mapping pages;

    Piece(const void* k, std::size_t n) : key(k), bytes(n) {}
    std::byte* data() const { return has_tsan ? pages.data() : block.get(); }
    void renew() {
      if (bytes == 0) return;
      if (has_tsan) {
        pages = Mapping(bytes);
      } else if (!block) {
        void* p = nullptr;  // of the exact size, so that AddressSanitizer sees the first byte beyond it
        if (::posix_memalign(&p, alignment, bytes) != 0) throw Error("no memory for {} bytes of a block", bytes);
        block.reset(static_cast<std::byte*>(p));
      }
      std::memset(data(), 0xff, bytes);
    }
  };

  std::vector<Piece> pieces_;
  Mapping tags_;
};

}  // namespace moderngpt2::simt
