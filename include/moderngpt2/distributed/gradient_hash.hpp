#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "moderngpt2/backend/host.hpp"
#include "moderngpt2/core/parallel.hpp"
#include "moderngpt2/core/random.hpp"
#include "moderngpt2/io/file_hash.hpp"

namespace moderngpt2 {

/// Hash of gradients in host memory, for comparison by bits: equal if the same elements were added in the same order,
/// for any number of threads. A backend with device memory may have a GradientHash with the same functions. Allocates
/// nothing. Threads: one at a time.
class HostGradientHash {
 public:
  template <class B>
  explicit HostGradientHash(B&) {}

  template <class B>
  void begin(B&) {
    value_ = 0;
  }
  /// Adds x (n).
  template <class B, class T>
  void add(B& b, const T* x, std::int64_t n) {
    constexpr std::int64_t most_parts = 64;
    std::array<std::uint64_t, most_parts> hashes;
    const std::int64_t parts = std::clamp<std::int64_t>(n * std::int64_t(sizeof(T)) >> 16, 1, most_parts);
    parallel_ranges(b.threads(), parts, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const std::int64_t first = n * i / parts, last = n * (i + 1) / parts;
        hashes[std::size_t(i)] = hash_of_bytes(std::as_bytes(std::span(x + first, std::size_t(last - first))));
      }
    });
    for (std::int64_t i = 0; i < parts; ++i) value_ = mix64(value_ ^ hashes[std::size_t(i)]);
  }
  /// Hash of all elements added since begin(). Waits for queued operations.
  template <class B>
  std::uint64_t value(B&) const {
    return value_;
  }

 private:
  std::uint64_t value_ = 0;
};

namespace detail {
template <class B>
using NamedGradientHash = typename B::GradientHash;
}  // namespace detail

/// GradientHash of a backend, or HostGradientHash.
template <class B>
using gradient_hash_of = typename detail::NamedOr<HostGradientHash, detail::NamedGradientHash, B>::type;

}  // namespace moderngpt2
