#pragma once

#include <cstddef>

// What the sanitizers must be told of fibers. Without one, every function here is empty.

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

/// On what changes stacks: the sanitizers' own bookkeeping of calls must not be in it.
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

/// While in scope, ThreadSanitizer sees no access of this fiber: the simulator's own state is shared by all of them.
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

/// Whatever happened before a release of `address` happens before what follows a later acquire of it.
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

/// Counts as an access of the running fiber, made now.
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

/// AddressSanitizer reports any access between forbid and permit.
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
