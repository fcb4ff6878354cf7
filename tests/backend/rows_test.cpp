#include <doctest/doctest.h>

#include "backend/cases/column_sum.hpp"
#include "backend/cases/embedding.hpp"
#include "backend/cases/gated_activation.hpp"
#include "backend/cases/gather.hpp"
#include "backend/cases/heads.hpp"
#include "backend/cases/matmul.hpp"
#include "backend/cases/norm.hpp"
#include "backend/cases/rotary.hpp"
#include "backend/check_case.hpp"

using namespace moderngpt2;

TEST_CASE("matmul and its gradients") { test::check_cases(cases::matmul_cases()); }
TEST_CASE("column_sum") { test::check_cases(cases::column_sum_cases()); }
TEST_CASE("embedding and dropout") { test::check_cases(cases::embedding_cases()); }
TEST_CASE("gather and scatter") { test::check_cases(cases::gather_cases()); }
TEST_CASE("copies, activations and means of the heads") { test::check_cases(cases::heads_cases()); }
TEST_CASE("rotary") { test::check_cases(cases::rotary_cases()); }
TEST_CASE("rms_norm and add_norm") { test::check_cases(cases::norm_cases()); }
TEST_CASE("gated activations") { test::check_cases(cases::activation_cases()); }
TEST_CASE("gated activations of a program") { test::check_cases(cases::user_activation_cases()); }

TEST_CASE("the backward rotation is the transpose of the forward one") {
  const int rows = 6, time = 3, half = 3, width = 12;
  std::vector<double> cosine, sine, x(rows * width), y(x), turned, back;
  for (int i = 0; i < time * half; ++i) cosine.push_back(std::cos(i * 0.7)), sine.push_back(std::sin(i * 0.7));
  fill_random(x.data(), rows * width, 1);
  fill_random(y.data(), rows * width, 2);
  turned = x, back = y;
  reference::Backend b;
  const RotaryTable<double> table{cosine.data(), sine.data(), half, time};
  rotary(b, Rows<double>(turned.data(), rows, width), table, time, 0, 0.3);
  rotary_backward(b, Rows<double>(back.data(), rows, width), table, time, 0, 0.3);
  double left = 0, right = 0;
  for (int i = 0; i < rows * width; ++i)
    left += turned[std::size_t(i)] * y[std::size_t(i)], right += x[std::size_t(i)] * back[std::size_t(i)];
  CHECK(left == doctest::Approx(right).epsilon(1e-13));
  rotary_backward(b, Rows<double>(turned.data(), rows, width), table, time, 0, 1 / 0.3);
  CHECK(compare_values(turned.data(), x.data(), rows * width).relative_max < 1e-14);
}

TEST_CASE("fill") {
  for (int threads : {1, 2}) {
    cpu::Backend b(threads);
    std::vector<float> x(200001, 1.0f);
    fill(b, x.data(), 200000, 3.0f);
    CHECK(std::count(x.begin(), x.end(), 3.0f) == 200000);
    CHECK(x.back() == 1.0f);
  }
}
