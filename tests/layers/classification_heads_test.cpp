#include <vector>

#include <doctest/doctest.h>

#include "head_under_test.hpp"
#include "moderngpt2/layers/heads/question_answering.hpp"
#include "moderngpt2/layers/heads/sequence_classification.hpp"
#include "moderngpt2/layers/heads/token_classification.hpp"

using namespace moderngpt2;
using namespace moderngpt2::test;

namespace {

using SequenceHead = SequenceClassificationHead<dynamic>;

Config tiny(int num_labels, ProblemType problem = ProblemType::automatic) {
  Config c;
  c.vocab_size = 9, c.n_embd = 6, c.n_positions = 8, c.num_labels = num_labels, c.problem_type = problem;
  c.pad_token_id = 0;
  return c;
}

// Rows that end at once, in padding, in a row of padding only, and with padding in between.
const std::vector<int> ids{1, 2, 3, 4, 5, 6, 7, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 4, 0, 0};

template <class R>
const std::vector<R> values{R(0.5), R(1), R(0), R(0.25), R(1), R(0), R(0), R(1), R(1), R(-0.5), R(2), R(0)};

constexpr auto real_labels = []<class R>() { return SequenceHead::LabelsOf<R>{nullptr, values<R>.data()}; };

}  // namespace

TEST_CASE("sequence classification: regression, one class, many classes") {
  check_head<SequenceHead>(tiny(1), {.batch = 4}, real_labels, ids.data());
  check_head<SequenceHead>(tiny(3, ProblemType::regression), {.batch = 4}, real_labels, ids.data());
  check_head<SequenceHead>(tiny(3), {.batch = 4}, real_labels, ids.data());
  check_head<SequenceHead>(tiny(1, ProblemType::multi_label), {.batch = 4}, real_labels, ids.data());
  static const std::vector<int> classes{2, 0, ignored_label, 1};
  auto integers = []<class R>() { return SequenceHead::LabelsOf<R>{classes.data(), nullptr}; };
  check_head<SequenceHead>(tiny(3), {.batch = 4}, integers, ids.data());
  check_head<SequenceHead>(tiny(3, ProblemType::single_label), {.batch = 4}, integers, ids.data());
}

TEST_CASE("sequence classification: position that is read, and errors") {
  const HeadUnderTest<SequenceHead> head(tiny(3));
  LayerTest test{.config = tiny(3), .batch = 4, .in = 6, .out = 1, .rows_out = 1};
  detail::LayerNumbers<float, HeadUnderTest<SequenceHead>> numbers(head, test);
  cpu::Backend b(1);
  numbers.run(b, CallHead<decltype(real_labels)>{real_labels, ids.data()}, true);
  const std::vector<int> read{4, 6, 10, 17};
  for (int r = 0; r < 20; ++r) {
    const bool is_read = std::find(read.begin(), read.end(), r) != read.end();
    CHECK((numbers.dx[r * 6] != 0) == is_read);
  }
  Config unpadded = tiny(3);
  unpadded.pad_token_id.reset();
  CHECK_THROWS_AS(check_head<SequenceHead>(unpadded, {.batch = 4}, real_labels, ids.data()), Error);
  check_head<SequenceHead>(unpadded, {.batch = 1, .time = 7}, real_labels, ids.data());
  CHECK_THROWS_AS(check_head<SequenceHead>(tiny(3, ProblemType::single_label), {.batch = 4}, real_labels, ids.data()),
                  Error);
  CHECK(SequenceHead(tiny(1)).resolve(true) == ProblemType::regression);
  CHECK(SequenceHead(tiny(2)).resolve(true) == ProblemType::single_label);
  CHECK(SequenceHead(tiny(2)).resolve(false) == ProblemType::multi_label);
}

TEST_CASE("token classification, with and without dropout, ignored labels") {
  using Head = TokenClassificationHead<dynamic>;
  static const std::vector<int> labels{0, 1, 2, -100, 1, -100, -100, 2, 0, 0};
  Config c = tiny(3);
  c.classifier_dropout = 0.5;
  auto make = []<class R>() { return Head::Labels{labels.data()}; };
  check_head<Head>(c, {}, make);
  check_head<Head>(c, {.training = true}, make);
}

TEST_CASE("labels outside of the classes are errors, before anything is indexed by them") {
  static const std::vector<int> classes{2, 0, 3, 1}, negative{0, -1, 0, 0};
  auto sequence = []<class R>() { return SequenceHead::LabelsOf<R>{classes.data(), nullptr}; };
  CHECK_THROWS_WITH_AS(check_head<SequenceHead>(tiny(3), {.batch = 4}, sequence, ids.data()),
                       "labels: 3 at index 2 is neither in 0..2 nor -100 (a label to ignore)", Error);
  using Head = TokenClassificationHead<dynamic>;
  auto token = []<class R>() { return Head::Labels{negative.data()}; };
  CHECK_THROWS_AS(check_head<Head>(tiny(3), {.batch = 1, .time = 4}, token), Error);
}

TEST_CASE("question answering: positions that are clamped and ignored") {
  using Head = QuestionAnsweringHead<dynamic>;
  static const std::vector<int> starts{0, -3, 5, 2}, ends{4, 1, 3, 99}, beyond{5, 6, 7, 8};
  check_head<Head>(tiny(2), {.batch = 4}, []<class R>() { return Head::Labels{starts.data(), ends.data()}; });
  check_head<Head>(tiny(2), {.batch = 4}, []<class R>() { return Head::Labels{starts.data(), beyond.data()}; });
  // Without both there is no loss.
  const HeadUnderTest<Head> head(tiny(2));
  LayerTest test{.config = tiny(2), .batch = 4, .in = 6, .out = 1, .rows_out = 1};
  detail::LayerNumbers<float, HeadUnderTest<Head>> numbers(head, test);
  cpu::Backend b(1);
  auto none = []<class R>() { return Head::Labels{}; };
  numbers.run(b, CallHead<decltype(none)>{none}, false);
  CHECK(numbers.y[0] == 0);
}
