// Steps after the first allocate no memory, except within a matrix product. The test replaces the C library's
// allocation functions, which all others call, and oneDNN's product.
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <vector>

#include <doctest/doctest.h>

#include "model_under_test.hpp"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__GLIBC__)
#define MODERNGPT2_CAN_COUNT 0
#elif defined(__has_feature)
#define MODERNGPT2_CAN_COUNT \
  (!__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer) && !__has_feature(memory_sanitizer))
#else
#define MODERNGPT2_CAN_COUNT 1
#endif

#if MODERNGPT2_CAN_COUNT

#include <dlfcn.h>

namespace {

std::atomic<bool> counting = false;
std::atomic<int> products = 0;  // running now
std::atomic<long> allocations = 0;
std::atomic<int> threads_of_products = 0;  // most that a product outside a parallel region could start

void note() {
  if (counting.load(std::memory_order_relaxed) && products.load(std::memory_order_relaxed) == 0) ++allocations;
}

}  // namespace

extern "C" {

void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);

void* malloc(std::size_t n) { return note(), __libc_malloc(n); }
void* calloc(std::size_t n, std::size_t size) { return note(), __libc_calloc(n, size); }
void* realloc(void* p, std::size_t n) { return note(), __libc_realloc(p, n); }
void* memalign(std::size_t alignment, std::size_t n) { return note(), __libc_memalign(alignment, n); }
void* aligned_alloc(std::size_t alignment, std::size_t n) { return note(), __libc_memalign(alignment, n); }
int posix_memalign(void** p, std::size_t alignment, std::size_t n) {
  note();
  *p = __libc_memalign(alignment, n);
  return *p || n == 0 ? 0 : ENOMEM;
}

#ifdef MODERNGPT2_HAVE_ONEDNN
dnnl_status_t DNNL_API dnnl_sgemm(char ta, char tb, dnnl_dim_t m, dnnl_dim_t n, dnnl_dim_t k, float alpha,
                                  const float* a, dnnl_dim_t lda, const float* b, dnnl_dim_t ldb, float beta, float* c,
                                  dnnl_dim_t ldc) {
  using Product = decltype(&dnnl_sgemm);
  dnnl_version();  // without a call, the linker drops the library
  static const Product real = reinterpret_cast<Product>(dlsym(RTLD_NEXT, "dnnl_sgemm"));
  ++products;
#ifdef _OPENMP
  if (!omp_in_parallel()) threads_of_products = std::max(threads_of_products.load(), omp_get_max_threads());
#endif
  const dnnl_status_t status = real(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
  --products;
  return status;
}
#endif
}

using namespace moderngpt2;
using namespace moderngpt2::test;

namespace {

/// Allocations of one more step after two.
template <class Family>
long allocations_of_a_step(int threads, Mode mode) {
  using Model = typename Family::template Model<cpu::Backend, Fp32>;
  Model m(tiny_config(), cpu::Backend(threads));
  fill_weights(m);
  auto work = m.workspace(tiny_batch, tiny_time, mode);
  auto gradients = m.make_gradients(), first = m.make_gradients(), second = m.make_gradients();
  auto& weights = m.weights().matrices;
  auto one_step = [&] {
    m.loss_and_gradients(work, tiny_ids.data(), Family::template labels<Model>(), gradients, tiny_pass<float>(true));
    const double norm = sum_of_squares(m.backend(), gradients.matrices.data(), gradients.matrices.size());
    adamw(m.backend(), weights.data(), first.matrices.data(), second.matrices.data(), gradients.matrices.data(),
          weights.size(), {.learning_rate = 1e-4, .gradient_scale = norm > 1 ? 1 / std::sqrt(norm) : 1});
    // The last batch of an epoch is smaller.
    auto smaller = tiny_pass<float>(true, tiny_batch);
    smaller.time = tiny_time - 1;
    m.forward(work, tiny_ids.data(), smaller);
  };
  one_step();
  one_step();
  allocations = 0;
  counting = true;
  one_step();
  counting = false;
  return allocations;
}

}  // namespace

TEST_CASE("the counter counts") {
  counting = true;
  allocations = 0;
  delete new int(3);
  CHECK(allocations.load() >= 0);
  std::vector<double>* volatile v = new std::vector<double>(100);
  counting = false;
  CHECK(allocations.load() >= 2);
  delete v;
}

TEST_CASE("a step allocates nothing") {
  for (int threads : {1, 2})
    for (Mode mode : {Mode::train, Mode::train_recompute}) {
      CHECK(allocations_of_a_step<Language>(threads, mode) == 0);
      CHECK(allocations_of_a_step<DoubleHead>(threads, mode) == 0);
      CHECK(allocations_of_a_step<Token>(threads, mode) == 0);
    }
}

#if defined(MODERNGPT2_HAVE_ONEDNN) && defined(_OPENMP)
TEST_CASE("products use the threads of their backend, for any setting of OpenMP") {
  const ThreadScope more(3);
  for (int threads : {1, 2}) {
    CausalLM<any_shape> m(tiny_config(), cpu::Backend(threads));
    fill_weights(m);
    threads_of_products = 0;
    step<Language>(m, true);
    CHECK(threads_of_products.load() == ThreadScope(threads).threads());
  }
}
#endif

#endif
