#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/backend/cpu.hpp"
#include "moderngpt2/core/memory.hpp"
#include "moderngpt2/generation/batch_generator.hpp"
#include "moderngpt2/generation/generate.hpp"
#include "moderngpt2/model/heads.hpp"

namespace {

std::atomic<long> allocations{0};

void* allocate(std::size_t size, std::size_t align) {
  ++allocations;
  return std::aligned_alloc(align, (size + align) / align * align);
}
void* checked(void* memory) { return memory ? memory : throw std::bad_alloc(); }

}  // namespace

// Every form in use: a sanitizer has its own for any that is left out, and takes no memory of another's.
void* operator new(std::size_t size) { return checked(allocate(size, alignof(std::max_align_t))); }
void* operator new(std::size_t size, std::align_val_t align) { return checked(allocate(size, std::size_t(align))); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return allocate(size, alignof(std::max_align_t));
}
void* operator new(std::size_t size, std::align_val_t align, const std::nothrow_t&) noexcept {
  return allocate(size, std::size_t(align));
}
void* operator new[](std::size_t size) { return checked(allocate(size, alignof(std::max_align_t))); }
// Not inlined: g++ 12 takes free() for a mismatch of the inlined operator new.
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

using namespace moderngpt2;

TEST_CASE("nothing is allocated from token to token") {
  Config config;
  config.vocab_size = 50;
  config.n_positions = 200;
  config.n_embd = 16;
  config.n_layer = 2;
  config.n_head = config.n_kv_head = 2;
  config.head_dim = 8;
  config.n_inner = 32;
  CausalLM<any_shape> model(config);
  model.initialize(1);
  GenerationOptions options;
  options.max_new_tokens = 180;
  options.top_k = 20;
  options.min_p = 0.01;
  options.repetition_penalty = 1.1;
  for (const int prompt_tokens : {1, 9}) {
    std::vector<long> counts;
    counts.reserve(200);
    generate(model, std::vector<int>(std::size_t(prompt_tokens), 4), options,
             [&](int) { return counts.push_back(allocations), true; });
    REQUIRE(counts.size() == 180);
    CHECK(counts.front() > 0);
    // The second token's pass is the first of its shape.
    CHECK(counts.back() == counts[1]);
    counts.clear();
    BatchGenerator texts(model, {.slots = 3});
    for (const int length : {1, 2, 3})
      texts.add({std::vector<int>(std::size_t(length * prompt_tokens), 4), options},
                {.on_token = [&](RequestId id, int) { return id < 3 || (counts.push_back(allocations), true); }});
    while (texts.step()) {
    }
    REQUIRE(counts.size() > 100);
    CHECK(counts[100] == counts[1]);
  }
}
