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

/// Every tensor starts at a multiple of this many bytes: a cache line, and the widest vector register.
inline constexpr std::size_t alignment = 64;

template <std::integral N>
constexpr N round_up(N n, std::type_identity_t<N> multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

/// Blocks of at least this many bytes start at a multiple of it and ask for huge pages: reading weights and moments
/// from memory is faster by a tenth when the processor looks up fewer pages.
inline constexpr std::size_t huge_page = std::size_t(2) << 20;

/// When a block gets its memory: all at once, or where it is used. Of the host's, each page when it is first written
/// to; a GPU's has addresses only until it is told how it is used (core/partial_use.hpp).
enum class Pages { at_once, as_used };

inline void zero_and_release(std::byte* data, std::size_t bytes);

/// Owns one zero-filled, aligned block. Refused memory is an Error that states the size.
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
    if (size_ >= huge_page)  // refused: the pages are as ever
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

/// Sets bytes of an AlignedBuffer to zero, and gives its whole pages back to the system until they are written to
/// again.
inline void zero_and_release(std::byte* data, std::size_t bytes) {
#ifdef __linux__
  static const std::size_t page = std::size_t(::sysconf(_SC_PAGESIZE));
  const std::size_t before = (page - reinterpret_cast<std::uintptr_t>(data) % page) % page;
  const std::size_t whole = bytes > before ? (bytes - before) / page * page : 0;
  // Anonymous pages read as zero afterwards; where they are locked, that is refused.
  if (whole > 0 && ::madvise(data + before, whole, MADV_DONTNEED) == 0) {
    std::memset(data, 0, before);
    std::memset(data + before + whole, 0, bytes - before - whole);
    return;
  }
#endif
  std::memset(data, 0, bytes);
}

/// A flat array of trivial elements in an AlignedBuffer, or in another kind of memory that the host cannot read.
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

/// Hands out aligned pieces of one block in order; without a block it only counts. The same walk over a model's
/// tensors therefore plans its memory and binds its views. `mark` and `rewind` let lifetimes that do not overlap
/// share bytes.
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
      throw Error("a pass needs more than the {} bytes of activations that its workspace was made for", size_);
    return reinterpret_cast<T*>(base_ + at);
  }
  constexpr std::size_t mark() const { return used_; }
  constexpr void rewind(std::size_t mark) { used_ = mark; }
  /// Most bytes ever in use at once.
  constexpr std::size_t peak() const { return peak_; }

 private:
  std::byte* base_ = nullptr;
  std::size_t size_ = 0;
  std::size_t used_ = 0;
  std::size_t peak_ = 0;
};

}  // namespace moderngpt2
