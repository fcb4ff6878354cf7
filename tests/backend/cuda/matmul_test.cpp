#define MODERNGPT2_CASES_ON_CUDA 1

#include <cmath>
#include <cstddef>
#include <optional>
#include <vector>

#include <doctest/doctest.h>

#include "backend/cases/matmul.hpp"
#include "backend/cuda/check_cuda_case.hpp"
#include "moderngpt2/backend/cuda/matmul_shape.hpp"

using namespace moderngpt2;

TEST_CASE("matmul and its gradients on the GPU") { test::check_cuda_cases(cases::matmul_cases()); }

TEST_CASE("error messages name the matrix product") {
  using cuda::Transposed;
  CHECK(cuda::matmul_text(
            {Transposed::no, Transposed::yes, 8, 4, 16, 16, 20, 6, Dtype::bf16, Dtype::f32, true, true, false}) ==
        "(8,16) x (4,16)^T in BF16 to F32, rows of 16, 20 and 6 elements, added, with a bias");
  CHECK(cuda::matmul_text({Transposed::yes, Transposed::no, 8, 4, 16, 8, 4, 4, Dtype::f32, Dtype::f32, false, false,
                           true}) == "(16,8)^T x (16,4) in TF32 to F32, rows of 8, 4 and 4 elements");
}

namespace {

template <class T>
cuda::DeviceArray<T> uploaded(cuda::Backend& b, const std::vector<T>& x) {
  cuda::DeviceArray<T> there{std::int64_t(x.size())};
  cuda::copy(b.stream(), there.data(), x.data(), there.size());
  b.synchronize();
  return there;
}
template <class T>
std::vector<T> downloaded(cuda::Backend& b, const cuda::DeviceArray<T>& x) {
  std::vector<T> here(static_cast<std::size_t>(x.size()));
  cuda::copy(b.stream(), here.data(), static_cast<const T*>(x.data()), x.size());
  b.synchronize();
  return here;
}
template <class T>
std::vector<T> random_vector(std::size_t n, std::uint64_t seed) {
  std::vector<T> x(n);
  fill_random(x.data(), std::int64_t(n), seed);
  return x;
}

/// Products of a head with fp32 scores and gradients and 16-bit activations; the CPU's are the reference.
template <class T>
void check_scores(double tolerance) {
  const int rows = 5, in = 33, out = 3, stride = 40;
  const auto x = random_vector<T>(rows * stride, 1), w = random_vector<T>(out * in, 2);
  const auto dy = random_vector<float>(rows * out, 3), bias = random_vector<float>(out, 4),
             before = random_vector<float>(out * in, 5);
  for (const bool accumulate : {false, true}) {
    cuda::Backend b;
    std::vector<T> want_dx = random_vector<T>(rows * stride, 6);
    std::vector<float> want_y(rows * out), want_dw = before;
    const auto there_x = uploaded(b, x), there_w = uploaded(b, w), there_dx = uploaded(b, want_dx);
    const auto there_dy = uploaded(b, dy), there_bias = uploaded(b, bias), there_dw = uploaded(b, before),
               there_y = uploaded(b, want_y);
    matmul(b, Rows<float>(there_y.data(), rows, out), Rows<const T>(there_x.data(), rows, in, stride),
           Matrix<T>{there_w.data(), out, in}, Vector<float>{there_bias.data(), out});
    matmul_backward_input(b, Rows<T>(there_dx.data(), rows, in, stride), Rows<const float>(there_dy.data(), rows, out),
                          Matrix<T>{there_w.data(), out, in}, accumulate);
    matmul_backward_weight(b, Matrix<float>{there_dw.data(), out, in}, Rows<const float>(there_dy.data(), rows, out),
                           Rows<const T>(there_x.data(), rows, in, stride));
    for (int r = 0; r < rows; ++r) {
      for (int o = 0; o < out; ++o) {
        double sum = bias[std::size_t(o)];
        for (int i = 0; i < in; ++i)
          sum += double(float(x[std::size_t(r * stride + i)])) * float(w[std::size_t(o * in + i)]);
        want_y[std::size_t(r * out + o)] = float(sum);
      }
      for (int i = 0; i < in; ++i) {
        double sum = accumulate ? double(float(want_dx[std::size_t(r * stride + i)])) : 0.0;
        for (int o = 0; o < out; ++o) {
          sum += double(dy[std::size_t(r * out + o)]) * float(w[std::size_t(o * in + i)]);
          want_dw[std::size_t(o * in + i)] += dy[std::size_t(r * out + o)] * float(x[std::size_t(r * stride + i)]);
        }
        want_dx[std::size_t(r * stride + i)] = T(float(sum));
      }
    }
    const auto close = [](const auto& got, const auto& want, double limit) {
      for (std::size_t i = 0; i < want.size(); ++i)
        if (!(std::abs(double(float(got[i])) - double(float(want[i]))) <=
              limit * (1 + std::abs(double(float(want[i]))))))
          return false;
      return true;
    };
    CHECK(close(downloaded(b, there_y), want_y, 1e-5));
    CHECK(close(downloaded(b, there_dw), want_dw, 1e-5));
    CHECK(close(downloaded(b, there_dx), want_dx, tolerance));  // gaps between rows are unchanged
  }
}

}  // namespace

TEST_CASE("matrix products of fp32 scores with 16-bit activations on the GPU") {
  check_scores<float>(1e-5);
  check_scores<bf16>(4e-3);
  check_scores<f16>(5e-4);
}

TEST_CASE("TF32 only if enabled") {
  const std::vector<float> x{1.0f + 0x1p-12f}, w{1.0f};
  cuda::Backend b;
  const auto there_x = uploaded(b, x), there_w = uploaded(b, w);
  const cuda::DeviceArray<float> y(1);
  const auto multiply = [&] {
    matmul(b, Rows<float>(y.data(), 1, 1), Rows<float>(there_x.data(), 1, 1), Matrix<float>{there_w.data(), 1, 1});
    return downloaded(b, y)[0];
  };
  CHECK(multiply() == x[0]);
  b.use_tf32(true);
  CHECK(multiply() == doctest::Approx(1).epsilon(1e-3));
#ifdef MODERNGPT2_CUDA_SIMULATED  // a GPU need not take the tensor cores for one number
  CHECK(multiply() == 1.0f);
#endif
}

TEST_CASE("the fastest of several algorithms is chosen, after a warm-up") {
  struct Way {
    std::vector<float> times;  // times of successive runs; after the last, running fails
    std::size_t runs = 0;
  };
  const auto fastest = [](std::vector<Way> ways) {
    return cuda::detail::fastest_of(ways.size(), [&](std::size_t i) -> std::optional<float> {
      Way& way = ways[i];
      if (way.runs == way.times.size()) return std::nullopt;
      return way.times[way.runs++];
    });
  };
  CHECK(fastest({{{9, 3, 3, 3}}, {{9, 2, 2, 2}}, {{1, 4, 4, 4}}}) == 1);  // the first run is a warm-up
  CHECK(fastest({{{9, 5, 2, 5}}, {{9, 3, 3, 3}}}) == 0);                  // the best of its runs does
  CHECK(fastest({{{9, 2, 2, 2}}, {{9, 2, 2, 2}}}) == 0);                  // the library's own order decides
  CHECK(fastest({{{9, 4, 4, 4}}, {{}}, {{9, 1}}, {{9, 3, 3, 3}}}) == 3);  // a failing one is out
  CHECK(fastest({{{}}, {{}}}) == 0);
}
