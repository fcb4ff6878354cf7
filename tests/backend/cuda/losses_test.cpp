#define MODERNGPT2_CASES_ON_CUDA 1

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "backend/cases/head_losses.hpp"
#include "backend/cuda/check_cuda_case.hpp"

using namespace moderngpt2;

TEST_CASE("cross-entropy, squared error, binary cross-entropy on the GPU") {
  test::check_cuda_cases(cases::loss_cases());
}

namespace {

struct Classified {
  std::vector<float> losses;
  std::vector<double> gradient;
  double total;
};

constexpr float scale = 0.25f;

/// Losses and gradients of the rows by the CPU, in fp32.
Classified on_cpu(std::vector<float> logits, int rows, int width, int stride, const int* labels, float cap,
                  float smoothing) {
  Classified result{{}, {}, 0};
  for (int r = 0; r < rows; ++r) {
    float* row = logits.data() + std::size_t(r) * std::size_t(stride);
    if (cap > 0) cpu::detail::cap_row(row, width, cap);
    result.losses.push_back(cpu::detail::cross_entropy_row(row, row, width, labels[r], cap, scale, smoothing));
    result.total += result.losses.back();
    for (int i = 0; i < width; ++i) result.gradient.push_back(double(row[i]));
  }
  return result;
}

/// Gradient in T that overwrites the logits, in two chunks of rows whose losses go to one sum.
template <class T>
Classified on_gpu(const std::vector<float>& logits, int rows, int width, int stride, const std::vector<int>& labels,
                  float cap, float smoothing) {
  cuda::Backend b;
  const cuda::DeviceArray<float> there(std::int64_t(logits.size())), losses(rows);
  const cuda::DeviceArray<int> their_labels(rows);
  const cuda::DeviceArray<double> total(1);
  cuda::copy(b.stream(), there.data(), logits.data(), there.size());
  cuda::copy(b.stream(), their_labels.data(), labels.data(), rows);
  const int first = rows / 2;
  for (const auto& [begin, n] : {std::pair{0, first}, {first, rows - first}}) {
    const auto s = Rows<float>(there.data(), rows, width, stride).slice(begin, n);
    const Rows<T> d(reinterpret_cast<T*>(s.data), n, width, stride * int(sizeof(float) / sizeof(T)));
    cuda::cross_entropy_rows(b, d, Rows<const float>(s), their_labels.data() + begin, cap, scale,
                             {.parts = losses.data() + begin, .total = total.data(), .add = begin > 0}, smoothing);
  }
  std::vector<float> back(logits.size());
  Classified result{std::vector<float>(std::size_t(rows)), {}, 0};
  cuda::copy(b.stream(), back.data(), static_cast<const float*>(there.data()), there.size());
  cuda::copy(b.stream(), result.losses.data(), static_cast<const float*>(losses.data()), rows);
  cuda::copy(b.stream(), &result.total, static_cast<const double*>(total.data()), 1);
  b.synchronize();
  for (int r = 0; r < rows; ++r) {
    const float* row = back.data() + std::size_t(r) * std::size_t(stride);
    for (int i = 0; i < width; ++i) result.gradient.push_back(double(float(reinterpret_cast<const T*>(row)[i])));
    for (int i = width; i < stride; ++i) CHECK(row[i] == logits[std::size_t(r) * std::size_t(stride) + std::size_t(i)]);
  }
  return result;
}

template <class T>
void check_rows(double tolerance) {
  struct Size {
    int rows, width, stride;
  };
  for (const Size& size :
       {Size{2, 1, 1}, {3, 50, 50}, {4, 999, 1000}, {3, 1030, 1031}, {3, 20'003, 20'008}, {2, 17'000, 17'001}})
    for (const float cap : {0.0f, 5.0f})
      for (const double deviation : {1.0, 20.0}) {
        CAPTURE(size.width);
        CAPTURE(size.stride);
        CAPTURE(cap);
        CAPTURE(deviation);
        const float smoothing = size.width == 1030 || size.width == 50 ? 0.2f : 0.0f;
        std::vector<float> logits(std::size_t(size.rows) * std::size_t(size.stride));
        fill_random(logits.data(), std::int64_t(logits.size()), 4, deviation);
        const auto labels = cases::some_labels(size.rows, size.width);
        const Classified want = on_cpu(logits, size.rows, size.width, size.stride, labels->data(), cap, smoothing);
        std::vector<Classified> got;
        for (const std::uint64_t schedule : test::schedules) {
          test::use_schedule(schedule);
          got.push_back(on_gpu<T>(logits, size.rows, size.width, size.stride, *labels, cap, smoothing));
          CHECK(got.back().losses == got[0].losses);
          CHECK(got.back().gradient == got[0].gradient);
          CHECK(got.back().total == got[0].total);
        }
        for (std::size_t r = 0; r < want.losses.size(); ++r)
          CHECK(got[0].losses[r] == doctest::Approx(want.losses[r]).epsilon(1e-5));
        CHECK(got[0].total == doctest::Approx(want.total).epsilon(1e-5));
        double largest = 0.1 * scale, worst = 0;  // with a single label, the gradient is rounding noise
        for (std::size_t i = 0; i < want.gradient.size(); ++i) {
          largest = std::max(largest, std::abs(want.gradient[i]));
          const double error = std::abs(got[0].gradient[i] - want.gradient[i]);
          worst = std::isnan(error) ? std::numeric_limits<double>::infinity() : std::max(worst, error);
        }
        CHECK(worst < tolerance * largest);
      }
}

}  // namespace

TEST_CASE("the gradient of a classifier overwrites its logits") {
  check_rows<float>(2e-6);
  check_rows<bf16>(5e-3);
  check_rows<f16>(1e-3);
}

TEST_CASE("large logits give a finite loss on the GPU, and a NaN stays visible") {
  cuda::Backend b;
  const auto loss = [&b](std::vector<float> row, int label) {
    const cuda::DeviceArray<float> s(std::int64_t(row.size()));
    const cuda::DeviceArray<int> labels(1);
    cuda::copy(b.stream(), s.data(), row.data(), s.size());
    cuda::copy(b.stream(), labels.data(), &label, 1);
    return double(
        cross_entropy(b, Rows<float>{}, Rows<const float>(s.data(), 1, int(row.size())), labels.data(), 1.0f));
  };
  CHECK(loss({1e30f, 1e30f, -1e30f}, 0) == doctest::Approx(std::log(2.0)));
  CHECK(std::isfinite(loss({1e4f, 1e4f - 3, -1e4f}, 1)));
  for (int at : {0, 3, 20, 39}) {
    std::vector<float> row(40, 1.0f);
    row[std::size_t(at)] = std::numeric_limits<float>::quiet_NaN();
    CHECK(std::isnan(loss(row, 5)));
  }
}
