#pragma once

#include <cstddef>
#include <cstring>
#include <map>
#include <sys/mman.h>
#include <unistd.h>

#include "moderngpt2/backend/cuda/simt/sanitizers.hpp"
#include "moderngpt2/core/error.hpp"

namespace moderngpt2::simt {

/// Virtual memory management of the simulated GPU, with pages of a memfd: memory can be mapped at several addresses.
/// AddressSanitizer reports accesses by the host; accesses to unmapped addresses crash. Functions return false or 0 for
/// invalid arguments.
class VirtualMemory {
 public:
  std::size_t granularity = std::size_t(2) << 20;  ///< a multiple of the host's page size

  VirtualMemory() = default;
  VirtualMemory(const VirtualMemory&) = delete;
  ~VirtualMemory() {
    for (const auto& [at, bytes] : reserved_) {
      sanitizer::unpoison(at, bytes);
      ::munmap(at, bytes);
    }
    if (file_ >= 0) ::close(file_);
  }

  std::byte* reserve(std::size_t bytes) {
    if (bytes == 0 || bytes % granularity != 0) return nullptr;
    void* const at = ::mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) return nullptr;
    reserved_[static_cast<std::byte*>(at)] = bytes;
    return static_cast<std::byte*>(at);
  }
  /// Frees an address range, from which all memory must be unmapped.
  bool free_addresses(std::byte* at, std::size_t bytes) {
    const auto it = reserved_.find(at);
    if (it == reserved_.end() || it->second != bytes || has_mapping(at, bytes)) return false;
    ::munmap(at, bytes);
    reserved_.erase(it);
    return true;
  }

  /// Allocates memory filled with NaN and returns its handle.
  unsigned long long create(std::size_t bytes) {
    if (file_ < 0) file_ = ::memfd_create("simulated GPU", 0);
    const std::size_t begin = file_bytes_;
    if (file_ < 0 || bytes == 0 || bytes % granularity != 0 || ::ftruncate(file_, off_t(begin + bytes)) != 0) return 0;
    void* const at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file_, off_t(begin));
    if (at == MAP_FAILED) return 0;
    std::memset(at, 0xff, bytes);
    ::munmap(at, bytes);
    file_bytes_ += bytes;
    used_ += bytes;
    allocations_[++last_] = {begin, bytes};
    return last_;
  }
  bool release(unsigned long long handle) {
    const auto it = allocations_.find(handle);
    if (it == allocations_.end()) return false;
    used_ -= it->second.bytes;
    allocations_.erase(it);
    return true;
  }

  bool map(std::byte* at, std::size_t bytes, unsigned long long handle) {
    const auto piece = allocations_.find(handle);
    if (piece == allocations_.end() || piece->second.bytes != bytes || !is_reserved(at, bytes) ||
        has_mapping(at, bytes))
      return false;
    if (::mmap(at, bytes, PROT_NONE, MAP_SHARED | MAP_FIXED, file_, off_t(piece->second.begin)) == MAP_FAILED)
      return false;
    mapped_[at] = {bytes, false};
    return true;
  }
  /// Removes the mapping that one call of map() made.
  bool unmap(std::byte* at, std::size_t bytes) {
    const auto it = mapped_.find(at);
    if (it == mapped_.end() || it->second.bytes != bytes) return false;
    sanitizer::unpoison(at, bytes);
    mapped_.erase(it);
    return ::mmap(at, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) != MAP_FAILED;
  }
  /// Makes a mapped address range accessible.
  bool set_access(std::byte* at, std::size_t bytes) {
    for (std::size_t done = 0; done < bytes;) {
      const auto it = mapped_.find(at + done);
      if (it == mapped_.end()) return false;
      ::mprotect(it->first, it->second.bytes, PROT_READ | PROT_WRITE);
      it->second.accessible = true;
      sanitizer::poison(it->first, it->second.bytes);
      done += it->second.bytes;
    }
    return true;
  }

  void unpoison() const {
    for (const auto& [at, mapping] : mapped_)
      if (mapping.accessible) sanitizer::unpoison(at, mapping.bytes);
  }
  void poison() const {
    for (const auto& [at, mapping] : mapped_)
      if (mapping.accessible) sanitizer::poison(at, mapping.bytes);
  }
  std::size_t used() const { return used_; }

 private:
  struct Allocation {
    std::size_t begin, bytes;  // offset in the file and size
  };
  struct Mapped {
    std::size_t bytes;
    bool accessible;
  };

  bool is_reserved(const std::byte* at, std::size_t bytes) const {
    for (const auto& [begin, size] : reserved_)
      if (at >= begin && at + bytes <= begin + size) return true;
    return false;
  }
  bool has_mapping(const std::byte* at, std::size_t bytes) const {
    for (const auto& [begin, mapping] : mapped_)
      if (begin < at + bytes && at < begin + mapping.bytes) return true;
    return false;
  }

  int file_ = -1;
  std::size_t file_bytes_ = 0, used_ = 0;
  unsigned long long last_ = 0;
  std::map<unsigned long long, Allocation> allocations_;
  std::map<std::byte*, std::size_t> reserved_;
  std::map<std::byte*, Mapped> mapped_;
};

}  // namespace moderngpt2::simt
