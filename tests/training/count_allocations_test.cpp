#include <atomic>
#include <cstdlib>
#include <new>

#include "training/count_allocations.hpp"

// Replaces the program's operator new by one that counts. Matrix products belong to a library that may allocate: the
// Eigen path does so by malloc, which is not counted.
namespace {

std::atomic<std::int64_t> count{0};

void* counted(std::size_t size, std::size_t alignment) {
  ++count;
  const std::size_t wanted = (size + alignment - 1) / alignment * alignment;
  return std::aligned_alloc(alignment, wanted == 0 ? alignment : wanted);
}

void* or_throw(void* memory) {
  if (!memory) throw std::bad_alloc();
  return memory;
}

constexpr std::size_t usual = __STDCPP_DEFAULT_NEW_ALIGNMENT__;

}  // namespace

namespace moderngpt2::test {

std::int64_t allocations() { return count; }

}  // namespace moderngpt2::test

void* operator new(std::size_t size) { return or_throw(counted(size, usual)); }
void* operator new[](std::size_t size) { return or_throw(counted(size, usual)); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return counted(size, usual); }
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept { return counted(size, usual); }
void* operator new(std::size_t size, std::align_val_t at) { return or_throw(counted(size, std::size_t(at))); }
void* operator new[](std::size_t size, std::align_val_t at) { return or_throw(counted(size, std::size_t(at))); }
void* operator new(std::size_t size, std::align_val_t at, const std::nothrow_t&) noexcept {
  return counted(size, std::size_t(at));
}
void* operator new[](std::size_t size, std::align_val_t at, const std::nothrow_t&) noexcept {
  return counted(size, std::size_t(at));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
void operator delete[](void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
