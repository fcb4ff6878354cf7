#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <type_traits>
#include <utility>

#ifdef __linux__
#include <sys/mman.h>
#include <unistd.h>
#endif

#include "moderngpt2/core/error.hpp"

namespace moderngpt2 {

/// Alignment of every tensor in bytes: one cache line, the width of the widest vector register.
inline constexpr std::size_t alignment = 64;

/// Smallest multiple of `multiple` that is not less than n (n >= 0).
template <std::integral N>
constexpr N round_up(N n, std::type_identity_t<N> multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

/// Minimum size and alignment, in bytes, of blocks that request huge pages. Fewer TLB misses make reading weights and
/// moments from memory about 10% faster.
inline constexpr std::size_t huge_page = std::size_t(2) << 20;

/// Time at which a block receives physical memory. at_once: on allocation. as_used: on the host, when a page is first
/// written; on a GPU, when its use is declared (core/partial_use.hpp).
enum class Pages { at_once, as_used };

inline void zero_and_release(std::byte* data, std::size_t bytes);

/// Owns one zero-filled block, aligned to `alignment` bytes. Throws Error with the size if the allocation fails.
/// Threads: as for std::vector.
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(std::size_t bytes, Pages pages = Pages::at_once) : size_(round_up(bytes, alignment)) {
    if (size_ == 0) return;
    data_ = static_cast<std::byte*>(::operator new(size_, own_alignment(), std::nothrow));
    if (!data_)
      throw Error("cannot allocate {:.2f} GiB: use a smaller model, batch or block, or more memory",
                  double(bytes) / (1 << 30));
#ifdef MADV_HUGEPAGE
    if (size_ >= huge_page)  // on failure, pages keep their default size
      ::madvise(data_, size_, pages == Pages::at_once ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
#endif
    if (pages == Pages::at_once)
      std::memset(data_, 0, size_);
    else
      zero_and_release(data_, size_);
  }
  AlignedBuffer(AlignedBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~AlignedBuffer() { ::operator delete(data_, own_alignment()); }

  std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }

 private:
  std::align_val_t own_alignment() const { return std::align_val_t(size_ >= huge_page ? huge_page : alignment); }

  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

/// Sets bytes of an AlignedBuffer to zero and returns whole pages to the system. Writing to a page allocates it again.
inline void zero_and_release(std::byte* data, std::size_t bytes) {
#ifdef __linux__
  static const std::size_t page = std::size_t(::sysconf(_SC_PAGESIZE));
  const std::size_t before = (page - reinterpret_cast<std::uintptr_t>(data) % page) % page;
  const std::size_t whole = bytes > before ? (bytes - before) / page * page : 0;
  // Anonymous pages read as zero after MADV_DONTNEED. The call fails for locked pages.
  if (whole > 0 && ::madvise(data + before, whole, MADV_DONTNEED) == 0) {
    std::memset(data, 0, before);
    std::memset(data + before + whole, 0, bytes - before - whole);
    return;
  }
#endif
  std::memset(data, 0, bytes);
}

/// Array of trivial elements in an AlignedBuffer, or in another `Memory` that the host cannot access, such as a GPU's.
/// Threads: as for std::vector.
template <class T, class Memory = AlignedBuffer>
class FlatBuffer {
 public:
  static constexpr bool on_host = std::is_same_v<Memory, AlignedBuffer>;

  FlatBuffer() = default;
  explicit FlatBuffer(std::int64_t count) : buffer_(std::size_t(count) * sizeof(T)), count_(count) {}
  FlatBuffer(std::int64_t count, Pages pages) : buffer_(std::size_t(count) * sizeof(T), pages), count_(count) {}

  T* data() const { return reinterpret_cast<T*>(buffer_.data()); }
  std::int64_t size() const { return count_; }
  Memory& memory() { return buffer_; }
  T& operator[](std::int64_t i) const requires on_host { return data()[i]; }
  T* begin() const requires on_host { return data(); }
  T* end() const requires on_host { return data() + count_; }

 private:
  Memory buffer_;
  std::int64_t count_ = 0;
};

/// Bump allocator over one block; without a block it only counts bytes. One function can therefore plan the memory of a
/// model and bind its views. `mark` and `rewind` let tensors with disjoint lifetimes share bytes. Threads: one at a
/// time.
class Arena {
 public:
  constexpr Arena() = default;
  Arena(std::byte* base, std::size_t size) : base_(base), size_(size) {}
  explicit Arena(const AlignedBuffer& buffer) : Arena(buffer.data(), buffer.size()) {}

  template <class T>
  constexpr T* take(std::int64_t count) {
    const std::size_t at = used_;
    used_ += round_up(std::size_t(count) * sizeof(T), alignment);
    peak_ = std::max(peak_, used_);
    if (!base_) return nullptr;
    if (used_ > size_)
      throw Error("a pass needs more than the {} bytes of activations of its workspace. Reduce batch or length", size_);
    return reinterpret_cast<T*>(base_ + at);
  }
  constexpr std::size_t mark() const { return used_; }
  constexpr void rewind(std::size_t mark) { used_ = mark; }
  /// Maximum number of bytes in use so far.
  constexpr std::size_t peak() const { return peak_; }

 private:
  std::byte* base_ = nullptr;
  std::size_t size_ = 0;
  std::size_t used_ = 0;
  std::size_t peak_ = 0;
};

}  // namespace moderngpt2
