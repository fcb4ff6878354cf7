#include <doctest/doctest.h>

#include "backend/cases/losses.hpp"
#include "backend/cases/optimizer.hpp"
#include "backend/check_case.hpp"

using namespace moderngpt2;

TEST_CASE("classifier and logits") { test::check_cases(cases::classifier_cases()); }
TEST_CASE("cross-entropy, squared error, binary cross-entropy") { test::check_cases(cases::loss_cases()); }
TEST_CASE("adamw, sum_of_squares, cast and fill") { test::check_cases(cases::optimizer_cases()); }

TEST_CASE("the classifier cuts its chunks by the vocabulary") {
  CHECK(cpu::detail::classifier_chunk(1000, 32000) == 512);
  CHECK(cpu::detail::classifier_chunk(5, 10) == 16);
  CHECK(cpu::detail::classifier_chunk(1000, 600'000) == 16);
  CHECK(cpu::classifier_scratch(1000, 32000) == 512 * 32001);
}

TEST_CASE("large logits give a finite loss and keep their digits") {
  cpu::Backend b(1);
  const int wrong = 1, right = 0;
  for (float size : {100.0f, 1e4f}) {
    float logits[3] = {size, size - 3, -size}, d[3];
    const double loss = cross_entropy(b, Rows<float>(d, 1, 3), Rows<float>(logits, 1, 3), &right, 1.0f);
    reference::Backend oracle;
    double wide[3] = {logits[0], logits[1], logits[2]}, want_d[3];
    const double want = cross_entropy(oracle, Rows<double>(want_d, 1, 3), Rows<double>(wide, 1, 3), &right, 1.0);
    CHECK(loss == doctest::Approx(want).epsilon(1e-5));
    CHECK(compare_values(d, want_d, 3).relative_max < 1e-5);
    CHECK(std::isfinite(cross_entropy(b, Rows<float>(d, 1, 3), Rows<float>(logits, 1, 3), &wrong, 1.0f)));
  }
  float huge[3] = {1e30f, 1e30f, -1e30f}, d[3];
  CHECK(cross_entropy(b, Rows<float>(d, 1, 3), Rows<float>(huge, 1, 3), &right, 1.0f) ==
        doctest::Approx(std::log(2.0)));
  CHECK(d[1] == 0.5f);
  const float targets[2] = {1, 0};
  float far[2] = {-1e4f, 1e4f};
  CHECK(binary_cross_entropy(b, Rows<float>(d, 1, 2), Rows<float>(far, 1, 2), targets, 1.0f) == 2e4);
  CHECK(d[0] == -1);
  CHECK(d[1] == 1);
}

TEST_CASE("label smoothing: loss and gradient of Transformers' LabelSmoother") {
  // transformers.trainer_pt_utils.LabelSmoother of 5.24 with torch in fp64: mean over the three labels.
  struct Smoothed {
    double smoothing, loss;
    double gradient[20];
  };
  const Smoothed cases[] = {{0.1,
                             4.326256727071598,
                             {0.094161004677,
                              0.0108545552583,
                              0.0409609527817,
                              -0.140429940143,
                              -0.00554657257439,
                              0,
                              0,
                              0,
                              0,
                              0,
                              -0.00655684513034,
                              -0.304460839063,
                              -0.00383432791268,
                              -0.0058551881425,
                              0.320707200248,
                              0.0266666673124,
                              -0.0066666668281,
                              -0.0066666668281,
                              -0.0066666668281,
                              -0.0066666668281}},
                            {1.0,
                             26.12125587463379,
                             {0.0341610063759,
                              -0.0491454471859,
                              -0.0190390481652,
                              0.0995700648094,
                              -0.0655465758342,
                              0,
                              0,
                              0,
                              0,
                              0,
                              -0.0665568484404,
                              -0.0644608422687,
                              -0.0638343310873,
                              -0.0658551914176,
                              0.260707213214,
                              0.266666680574,
                              -0.0666666701436,
                              -0.0666666701436,
                              -0.0666666701436,
                              -0.0666666701436}}};
  const std::vector<double> wide{1.5, -0.25, 0.75, 2, -3, 0, 0.5, -1, 4, 0.25, -2, 1, 1.25, 0, 6, 90, -1, 3, 0.5, 2};
  const int labels[] = {3, ignored_label, 1, 0};
  for (const Smoothed& want : cases) {
    CAPTURE(want.smoothing);
    reference::Backend oracle;
    std::vector<double> logits = wide, d(20);
    CHECK(cross_entropy(oracle, Rows<double>(d.data(), 4, 5), Rows<double>(logits.data(), 4, 5), labels, 1.0 / 3,
                        want.smoothing) /
              3 ==
          doctest::Approx(want.loss).epsilon(1e-6));
    CHECK(compare_values(d.data(), want.gradient, 20).relative_max < 1e-6);
    cpu::Backend b(1);
    std::vector<float> narrow(wide.begin(), wide.end()), d32(20);
    CHECK(cross_entropy(b, Rows<float>(d32.data(), 4, 5), Rows<float>(narrow.data(), 4, 5), labels, 1.0f / 3,
                        float(want.smoothing)) /
              3 ==
          doctest::Approx(want.loss).epsilon(1e-6));
    CHECK(compare_values(d32.data(), want.gradient, 20).relative_max < 1e-5);
  }
}

TEST_CASE("a NaN stays visible in a loss") {
  cpu::Backend b(1);
  for (int at : {0, 3, 20, 39}) {
    std::vector<float> logits(40, 1.0f);
    logits[std::size_t(at)] = std::numeric_limits<float>::quiet_NaN();
    const int label = 5;
    CHECK(std::isnan(cross_entropy(b, Rows<float>{}, Rows<float>(logits.data(), 1, 40), &label, 1.0f)));
  }
}

TEST_CASE("sum_of_squares of more than one round of partial sums") {
  const std::int64_t n = std::int64_t(cpu::detail::square_block) * cpu::detail::square_blocks + 5;
  const std::vector<float> x(std::size_t(n), 0.5f);
  for (int threads : {1, 2}) {
    cpu::Backend b(threads);
    CHECK(sum_of_squares(b, x.data(), n) == 0.25 * double(n));
  }
}

TEST_CASE("AdamW writes a rounded copy of the weights, and the same weights as without one") {
  const std::int64_t n = 1001;
  std::vector<float> w(n), m(n), v(n), g(n);
  fill_random(w.data(), n, 1), fill_random(g.data(), n, 2);
  std::vector<float> w2 = w, m2 = m, v2 = v;
  std::vector<bf16> rounded(n + 1, bf16(7.0f));
  cpu::Backend b(2);
  const AdamWStep step{.learning_rate = 1e-2, .weight_decay = 0.1};
  adamw(b, w.data(), m.data(), v.data(), g.data(), n, step);
  adamw(b, w2.data(), m2.data(), v2.data(), g.data(), n, step, rounded.data());
  CHECK(w == w2);
  for (std::size_t i = 0; i < std::size_t(n); ++i) REQUIRE(rounded[i].bits == bf16(w[i]).bits);
  CHECK(float(rounded[std::size_t(n)]) == 7.0f);
}

TEST_CASE("AdamW against the formula by hand") {
  reference::Backend b;
  double w = 2, m = 0.5, v = 0.25, g = 3;
  adamw(b, &w, &m, &v, &g, 1,
        {.learning_rate = 0.1,
         .beta1 = 0.9,
         .beta2 = 0.99,
         .epsilon = 1e-8,
         .weight_decay = 0.5,
         .gradient_scale = 0.5,
         .step = 2});
  const double m1 = 0.9 * 0.5 + 0.1 * 1.5, v1 = 0.99 * 0.25 + 0.01 * 2.25;
  CHECK(m == doctest::Approx(m1).epsilon(1e-15));
  CHECK(v == doctest::Approx(v1).epsilon(1e-15));
  const double update = m1 / (1 - 0.81) / (std::sqrt(v1 / (1 - 0.9801)) + 1e-8);
  CHECK(w == doctest::Approx(2 * (1 - 0.1 * 0.5) - 0.1 * update).epsilon(1e-15));
}
