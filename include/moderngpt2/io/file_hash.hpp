#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <string>

#include <fmt/format.h>
#if !__has_include(<xxhash.h>)
#error "moderngpt2: <xxhash.h> not found: link moderngpt2::moderngpt2"
#endif
#include <xxhash.h>

namespace moderngpt2 {

/// Name, size and hash of a written file.
struct FileRecord {
  std::string name;
  std::uint64_t bytes = 0;
  std::string xxh3;  ///< XXH3 (64 bits) of its bytes, in hexadecimal
};

/// XXH3 (64 bits) of bytes.
inline std::uint64_t hash_of_bytes(std::span<const std::byte> bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

/// Incremental XXH3 (64 bits). Threads: one at a time.
class FileHash {
 public:
  FileHash() : state_(XXH3_createState()) {
    if (!state_) throw std::bad_alloc();
    XXH3_64bits_reset(state_.get());
  }

  void add(std::span<const std::byte> bytes) { XXH3_64bits_update(state_.get(), bytes.data(), bytes.size()); }
  /// Hash of all bytes added so far.
  std::uint64_t value() const { return XXH3_64bits_digest(state_.get()); }
  /// Hash in hexadecimal, 16 digits.
  std::string text() const { return fmt::format("{:016x}", value()); }

 private:
  struct Free {
    void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
  };
  std::unique_ptr<XXH3_state_t, Free> state_;
};

}  // namespace moderngpt2
