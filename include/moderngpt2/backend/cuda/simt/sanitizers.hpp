#pragma once

#include <cstddef>

// Annotations of fibers for AddressSanitizer and ThreadSanitizer. Without a sanitizer, all functions are no-ops.

#if defined(__SANITIZE_ADDRESS__)
#define MODERNGPT2_SIMT_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MODERNGPT2_SIMT_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define MODERNGPT2_SIMT_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define MODERNGPT2_SIMT_TSAN 1
#endif
#endif

#ifdef MODERNGPT2_SIMT_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef MODERNGPT2_SIMT_TSAN
extern "C" {
void* __tsan_get_current_fiber();
void* __tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void* fiber);
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
void __tsan_acquire(void* address);
void __tsan_release(void* address);
void __tsan_ignore_thread_begin();
void __tsan_ignore_thread_end();
void __tsan_read_range(void* address, unsigned long size);
void __tsan_write_range(void* address, unsigned long size);
}
#endif

/// Attribute of functions that switch stacks: excludes the sanitizers' instrumentation.
#define MODERNGPT2_SIMT_BARE __attribute__((noinline, no_sanitize("thread", "address", "undefined")))

namespace moderngpt2::simt {

#ifdef MODERNGPT2_SIMT_ASAN
inline constexpr bool has_asan = true;
#else
inline constexpr bool has_asan = false;
#endif
#ifdef MODERNGPT2_SIMT_TSAN
inline constexpr bool has_tsan = true;
#else
inline constexpr bool has_tsan = false;
#endif

namespace sanitizer {

/// Hides accesses of this fiber from ThreadSanitizer while in scope, for the simulator's own state, which fibers share.
class Quiet {
 public:
#ifdef MODERNGPT2_SIMT_TSAN
  Quiet() { __tsan_ignore_thread_begin(); }
  ~Quiet() { __tsan_ignore_thread_end(); }
#else
  Quiet() {}
  ~Quiet() {}
#endif
  Quiet(const Quiet&) = delete;
  Quiet& operator=(const Quiet&) = delete;
};

/// Happens-before order for ThreadSanitizer: work before release() of an address precedes work after a later acquire().
inline void release([[maybe_unused]] void* address) {
#ifdef MODERNGPT2_SIMT_TSAN
  __tsan_release(address);
#endif
}
inline void acquire([[maybe_unused]] void* address) {
#ifdef MODERNGPT2_SIMT_TSAN
  __tsan_acquire(address);
#endif
}

/// Reports an access of the running fiber to ThreadSanitizer.
inline void read_range([[maybe_unused]] const void* address, [[maybe_unused]] std::size_t size) {
#ifdef MODERNGPT2_SIMT_TSAN
  __tsan_read_range(const_cast<void*>(address), size);
#endif
}
inline void write_range([[maybe_unused]] void* address, [[maybe_unused]] std::size_t size) {
#ifdef MODERNGPT2_SIMT_TSAN
  __tsan_write_range(address, size);
#endif
}

/// AddressSanitizer reports accesses to memory between poison() and unpoison().
inline void poison([[maybe_unused]] const void* address, [[maybe_unused]] std::size_t size) {
#ifdef MODERNGPT2_SIMT_ASAN
  __asan_poison_memory_region(address, size);
#endif
}
inline void unpoison([[maybe_unused]] const void* address, [[maybe_unused]] std::size_t size) {
#ifdef MODERNGPT2_SIMT_ASAN
  __asan_unpoison_memory_region(address, size);
#endif
}

}  // namespace sanitizer

}  // namespace moderngpt2::simt
