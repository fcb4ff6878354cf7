#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <sys/mman.h>
#include <unistd.h>
#include <utility>

#include "moderngpt2/backend/cuda/simt/sanitizers.hpp"
#include "moderngpt2/core/error.hpp"

#if !defined(__x86_64__) || defined(MODERNGPT2_SIMT_UCONTEXT)
#ifndef MODERNGPT2_SIMT_UCONTEXT
#define MODERNGPT2_SIMT_UCONTEXT 1
#endif
#include <ucontext.h>
#endif

// Fibers: stacks that run alternately on one system thread. On x86-64 a switch is a dozen instructions; elsewhere
// swapcontext does it, which takes about twenty times as long.
namespace moderngpt2::simt {

/// Owns anonymous mapped memory. Pages are zero, and ThreadSanitizer knows of no accesses to them.
class Mapping {
 public:
  Mapping() = default;
  explicit Mapping(std::size_t size) : size_(size) {
    data_ = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data_ == MAP_FAILED) throw Error("cannot map {} bytes for the simulated GPU: raise the memory limit", size);
  }
  Mapping(Mapping&& other) noexcept : data_(std::exchange(other.data_, nullptr)), size_(other.size_) {}
  Mapping& operator=(Mapping&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Mapping() {
    if (data_) ::munmap(data_, size_);
  }

  std::byte* data() const { return static_cast<std::byte*>(data_); }
  std::size_t size() const { return size_; }

 private:
  void* data_ = nullptr;
  std::size_t size_ = 0;
};

#ifndef MODERNGPT2_SIMT_UCONTEXT
/// Saves the callee-saved registers on the running stack and its pointer in *save, then continues on the stack `load`.
__attribute__((naked, noinline, no_sanitize("thread", "address", "undefined"))) inline void switch_stacks(
    [[maybe_unused]] void** save, [[maybe_unused]] void* load) {
  asm volatile(
      "pushq %rbp\n\tpushq %rbx\n\tpushq %r12\n\tpushq %r13\n\tpushq %r14\n\tpushq %r15\n\t"
      "movq %rsp, (%rdi)\n\tmovq %rsi, %rsp\n\t"
      "popq %r15\n\tpopq %r14\n\tpopq %r13\n\tpopq %r12\n\tpopq %rbx\n\tpopq %rbp\n\tret");
}
#endif

/// Fiber with a stack of its own. ThreadSanitizer treats it as a thread, ordered with others only by release and
/// acquire. A default-constructed fiber represents the code that first switches away from it.
class Fiber {
 public:
  using Entry = Fiber& (*)();
  /// Sanitizers need larger frames.
  static constexpr std::size_t stack_bytes = has_asan || has_tsan ? 256 * 1024 : 64 * 1024;

  Fiber() = default;
  ~Fiber() {
#ifdef MODERNGPT2_SIMT_TSAN
    if (stack_.data()) __tsan_destroy_fiber(timeline_);
#endif
  }
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// Resets the stack. The next switch to this fiber calls entry(); when that returns, the fiber that it returns
  /// continues.
  void prepare(Entry entry) {
    if (!stack_.data()) {
      const std::size_t page = std::size_t(::sysconf(_SC_PAGESIZE));
      stack_ = Mapping(stack_bytes + page);
      ::mprotect(stack_.data(), page, PROT_NONE);
      bottom_ = stack_.data() + page;
      size_ = stack_bytes;
#ifdef MODERNGPT2_SIMT_TSAN
      timeline_ = __tsan_create_fiber(0);
#endif
    }
    sanitizer::unpoison(bottom_, size_);
    entry_ = entry;
    fake_stack_ = nullptr;
#ifdef MODERNGPT2_SIMT_UCONTEXT
    ::getcontext(&context_);
    context_.uc_stack.ss_sp = const_cast<void*>(bottom_);
    context_.uc_stack.ss_size = size_;
    context_.uc_link = nullptr;
    ::makecontext(&context_, &Fiber::begin, 0);
#else
    // `ret` leaves the stack pointer 8 below a multiple of 16, as after a call.
    void** top = reinterpret_cast<void**>(reinterpret_cast<std::uintptr_t>(bottom_) + size_);
    *--top = nullptr;
    *--top = reinterpret_cast<void*>(&Fiber::begin);
    for (int saved = 0; saved < 6; ++saved) *--top = nullptr;
    pointer_ = top;
#endif
  }

  /// Switches from `from`, the running fiber, to `to`; returns when something switches back. `last`: nothing will.
  MODERNGPT2_SIMT_BARE static void change(Fiber& from, Fiber& to, [[maybe_unused]] bool last = false) {
    left_ = &from;
    entered_ = &to;
#ifdef MODERNGPT2_SIMT_TSAN
    constexpr unsigned no_synchronization = 1;
    if (!from.timeline_) from.timeline_ = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(to.timeline_, no_synchronization);
#endif
#ifdef MODERNGPT2_SIMT_ASAN
    __sanitizer_start_switch_fiber(last ? nullptr : &from.fake_stack_, to.bottom_, to.size_);
#endif
#ifdef MODERNGPT2_SIMT_UCONTEXT
    ::swapcontext(&from.context_, &to.context_);
#else
    switch_stacks(&from.pointer_, to.pointer_);
#endif
    arrive();
  }

  /// Makes the work of this fiber, which will not end, happen before a later acquire of `tag` by others.
  MODERNGPT2_SIMT_BARE void release_for([[maybe_unused]] void* tag) {
#ifdef MODERNGPT2_SIMT_TSAN
    void* const self = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(timeline_, 1);
    __tsan_release(tag);
    __tsan_switch_to_fiber(self, 1);
#endif
  }

 private:
  /// End of each switch, on the destination stack.
  MODERNGPT2_SIMT_BARE static void arrive() {
#ifdef MODERNGPT2_SIMT_ASAN
    const void* bottom = nullptr;
    std::size_t size = 0;
    __sanitizer_finish_switch_fiber(entered_->fake_stack_, &bottom, &size);
    if (!left_->bottom_) left_->bottom_ = bottom, left_->size_ = size;
#endif
  }
  MODERNGPT2_SIMT_BARE static void begin() {
    arrive();
    Fiber& self = *entered_;
    change(self, self.entry_(), true);
    std::abort();
  }

  static inline thread_local Fiber* left_ = nullptr;
  static inline thread_local Fiber* entered_ = nullptr;

  Mapping stack_;
  const void* bottom_ = nullptr;
  std::size_t size_ = 0;
  Entry entry_ = nullptr;
  [[maybe_unused]] void* timeline_ = nullptr;  // ThreadSanitizer's state of the fiber
  void* fake_stack_ = nullptr;
#ifdef MODERNGPT2_SIMT_UCONTEXT
  ucontext_t context_{};
#else
  void* pointer_ = nullptr;
#endif
};

}  // namespace moderngpt2::simt
