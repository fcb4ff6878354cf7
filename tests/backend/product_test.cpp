#include <cmath>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/backend/cpu/product.hpp"
#include "moderngpt2/testing/numeric_checks.hpp"

#ifdef _OPENMP
#include "support/openmp_settings.hpp"
#endif

using namespace moderngpt2;

#ifdef MODERNGPT2_HAVE_ONEDNN

// On a processor without products of bf16 the same primitives in fp32 show that they are asked for the right thing.
TEST_CASE("prepared products: transposes, strides, sums in place, bias") {
  const Dtype inputs = Dtype::f32;
  const int m = 5, n = 7, k = 9, lda = 11, ldb = 12, ldc = 10;
  std::vector<float> a(9 * 11), b(9 * 12), bias(7), before(5 * 10);
  fill_random(a.data(), std::int64_t(a.size()), 1);
  fill_random(b.data(), std::int64_t(b.size()), 2);
  fill_random(bias.data(), std::int64_t(bias.size()), 3);
  fill_random(before.data(), std::int64_t(before.size()), 4);
  cpu::PreparedProducts products;
  using cpu::Transpose;
  for (const Transpose ta : {Transpose::no, Transpose::yes})
    for (const Transpose tb : {Transpose::no, Transpose::yes})
      for (const bool accumulate : {false, true})
        for (const bool with_bias : {false, true}) {
          const cpu::ProductShape shape{ta, tb, m, n, k, lda, ldb, ldc, inputs, Dtype::f32, accumulate, with_bias, 1};
          auto& product = products.find(shape);
          CHECK(&products.find(shape) == &product);
          std::vector<std::byte> scratchpad(product.scratchpad_bytes() + 64);
          std::vector<float> c = before;
          product.run(a.data(), b.data(), c.data(), bias.data(), scratchpad.data());
          std::vector<double> want(before.begin(), before.end());
          for (int i = 0; i < m; ++i)
            for (int j = 0; j < n; ++j) {
              double sum = (accumulate ? double(before[std::size_t(i * ldc + j)]) : 0.0) +
                           (with_bias ? double(bias[std::size_t(j)]) : 0.0);
              for (int l = 0; l < k; ++l)
                sum += double(a[std::size_t(ta == Transpose::yes ? l * lda + i : i * lda + l)]) *
                       double(b[std::size_t(tb == Transpose::yes ? j * ldb + l : l * ldb + j)]);
              want[std::size_t(i * ldc + j)] = sum;
            }
          CHECK(compare_values(c.data(), want.data(), std::int64_t(c.size())).relative_max < 1e-6);
        }
}

TEST_CASE("a product that oneDNN cannot make is an Error") {
  CHECK_THROWS_AS(cpu::PreparedProducts().find({cpu::Transpose::no, cpu::Transpose::no, 2, 2, 2, -7, 2, 2, Dtype::f32,
                                                Dtype::f32, false, false, 1}),
                  Error);
}

TEST_CASE("products of bf16 are there where they are said to be") {
  cpu::PreparedProducts products;
  for (const Dtype output : {Dtype::bf16, Dtype::f32})
    for (const bool accumulate : {false, true}) {
      auto& product = products.find({cpu::Transpose::yes, cpu::Transpose::no, 5, 7, 9, 11, 12, 10, Dtype::bf16, output,
                                     accumulate, !accumulate, 1});
      if (cpu::has_bf16_products()) CHECK(product.supported());
    }
}

#endif

TEST_CASE("bf16 products need no more scratch than was reserved") {
  cpu::Backend b(2);
  b.product_scratch<float>(cpu::product_scratch<bf16>(2));
  const std::size_t before = b.scratch_bytes();
  std::vector<bf16> x(300 * 40, bf16(1.0f)), w(600 * 40, bf16(0.5f)), y(300 * 600);
  product(b, cpu::Transpose::no, cpu::Transpose::yes, 300, 600, 40, x.data(), 40, w.data(), 40, y.data(), 600, false);
  for (const bf16 value : y) REQUIRE(float(value) == 20.0f);
  if (!cpu::has_bf16_products()) CHECK(b.scratch_bytes() == before);
}

#ifdef _OPENMP

namespace {

/// Largest relative error of products (m,k) x (k,n) of element type T, over all transpositions, with `threads` threads.
template <class T>
double error_of_products(int threads) {
  constexpr int m = 64, n = 160, k = 96;
  std::vector<float> numbers(m * k + k * n);
  fill_random(numbers.data(), std::int64_t(numbers.size()), 1);
  std::vector<T> a, b;
  for (std::size_t i = 0; i < numbers.size(); ++i) (i < m * k ? a : b).push_back(T(numbers[i]));
  cpu::Backend backend(threads);
  double worst = 0;
  using cpu::Transpose;
  for (const Transpose ta : {Transpose::no, Transpose::yes})
    for (const Transpose tb : {Transpose::no, Transpose::yes}) {
      std::vector<float> c(m * n);
      std::vector<double> want(m * n);
      const bool at = ta == Transpose::yes, bt = tb == Transpose::yes;
      product(backend, ta, tb, m, n, k, a.data(), at ? m : k, b.data(), bt ? k : n, c.data(), n, false);
      for (int i = 0; i < m; ++i)
        for (int l = 0; l < k; ++l)
          for (int j = 0; j < n; ++j)
            want[std::size_t(i * n + j)] += double(float(a[std::size_t(at ? l * m + i : i * k + l)])) *
                                            double(float(b[std::size_t(bt ? j * k + l : l * n + j)]));
      worst = std::max(worst, compare_values(c.data(), want.data(), m * n).relative_max);
    }
  return worst;
}

}  // namespace

TEST_CASE("products are whole where OpenMP gives fewer threads") {
  const int many = omp_get_num_procs() + 1;  // more than a dynamic team has
  test::with_small_teams([&](const std::string& where) {
    for (const int threads : {2, many}) {
      const double error = error_of_products<float>(threads), short_error = error_of_products<bf16>(threads);
#pragma omp critical
      {
        CHECK_MESSAGE(error < 1e-5, where, ", fp32, threads ", threads);
        CHECK_MESSAGE(short_error < 1e-5, where, ", bf16, threads ", threads);
      }
    }
  });
}

TEST_CASE("one backend's products are whole before, under and after a limit") {
  const test::OpenMpSettings restored;
  cpu::Backend backend(2);
  std::vector<bf16> x(300 * 40, bf16(1.0f)), w(600 * 40, bf16(0.5f));
  for (const int levels : {1, 0, 1}) {
    omp_set_max_active_levels(levels);
    std::vector<bf16> y(300 * 600);
    product(backend, cpu::Transpose::no, cpu::Transpose::yes, 300, 600, 40, x.data(), 40, w.data(), 40, y.data(), 600,
            false);
    for (const bf16 value : y) REQUIRE(float(value) == 20.0f);
  }
}

#endif
