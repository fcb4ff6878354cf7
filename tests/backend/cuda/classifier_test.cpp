#define MODERNGPT2_CASES_ON_CUDA 1

#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "backend/cases/losses.hpp"
#include "backend/cuda/check_cuda_case.hpp"

using namespace moderngpt2;

TEST_CASE("classifier and logits on the GPU") {
  // With a vocabulary of 600,000, a probability times the scale is a subnormal number in fp16.
  std::vector<cases::Case> table = cases::classifier_cases(2);
#ifdef MODERNGPT2_SIMT_TSAN  // where they take many minutes
  std::erase_if(table, [](const cases::Case& c) { return c.name.find("600000") != std::string::npos; });
  CHECK_FALSE(table.empty());
#endif
  test::check_cuda_cases(table, test::bf16_tolerance, 5e-3);
}

TEST_CASE("the classifier on the GPU in chunks of tokens") {
  const int rows = 37, width = 6, vocab = 50;
  std::vector<float> hidden(rows * width), weights(vocab * width);
  fill_random(hidden.data(), rows * width, 1);
  fill_random(weights.data(), vocab * width, 2);
  const auto labels = cases::some_labels(rows, vocab);
  struct Result {
    double loss;
    std::vector<float> dhidden, dw;
  };
  const auto run = [&](std::int64_t bytes) {
    cuda::Backend b;
    b.limit_logits(bytes);
    CHECK(classifier_rows(b.logits_bytes(), rows, vocab) == (bytes == 0 ? 16 : 37));
    const cuda::DeviceArray<float> x(rows * width), w(vocab * width), dx(rows * width), dw(vocab * width);
    const cuda::DeviceArray<int> targets(rows);
    cuda::copy(b.stream(), x.data(), hidden.data(), x.size());
    cuda::copy(b.stream(), w.data(), weights.data(), w.size());
    cuda::copy(b.stream(), targets.data(), labels->data(), rows);
    fill(b, dw.data(), dw.size(), 0.0f);
    Result r{double(classifier(b, Rows<float>(dx.data(), rows, width), Matrix<float>{dw.data(), vocab, width},
                               Rows<float>(x.data(), rows, width), Matrix<float>{w.data(), vocab, width},
                               targets.data(), 5.0f, 0.25f)),
             std::vector<float>(rows * width), std::vector<float>(vocab * width)};
    cuda::copy(b.stream(), r.dhidden.data(), static_cast<const float*>(dx.data()), dx.size());
    cuda::copy(b.stream(), r.dw.data(), static_cast<const float*>(dw.data()), dw.size());
    b.synchronize();
    return r;
  };
  const Result whole = run(1 << 20), parts = run(0);
  CHECK(parts.loss == doctest::Approx(whole.loss).epsilon(1e-6));
  for (std::size_t i = 0; i < whole.dhidden.size(); ++i)  // a GPU's order of sums may depend on the number of rows
    CHECK(parts.dhidden[i] == doctest::Approx(whole.dhidden[i]).epsilon(1e-5));
  for (std::size_t i = 0; i < whole.dw.size(); ++i) CHECK(parts.dw[i] == doctest::Approx(whole.dw[i]).epsilon(1e-4));
}
