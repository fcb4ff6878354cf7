#include <vector>

#include <doctest/doctest.h>

#include "head_under_test.hpp"
#include "moderngpt2/layers/heads/language_model.hpp"
#include "moderngpt2/layers/heads/multiple_choice.hpp"

using namespace moderngpt2;
using namespace moderngpt2::test;

namespace {

Config tiny() {
  Config c;
  c.vocab_size = 11, c.n_embd = 6, c.n_positions = 8;
  return c;
}

const std::vector<int> labels{3, 0, 10, -100, 4, 5, 5, -100, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0};

}  // namespace

TEST_CASE("language model head: tied and untied, softcap, ignored labels") {
  for (bool tied : {true, false})
    for (double softcap : {0.0, 2.0}) {
      Config c = tiny();
      c.tied_head = tied;
      if (softcap > 0) c.final_logit_softcapping = softcap;
      auto make = []<class R>() { return LanguageModelHead<dynamic>::Labels{labels.data()}; };
      check_head<LanguageModelHead<dynamic>>(c, {.input_deviation = 2}, make);
      // A divisor from outside: a micro-batch of a larger batch.
      auto more = []<class R>() { return LanguageModelHead<dynamic>::Labels{labels.data(), 100}; };
      check_head<LanguageModelHead<dynamic>>(c, {}, more);
    }
}

TEST_CASE("language model head: a batch without valid labels has loss 0 and gradient 0") {
  const Config c = tiny();
  const std::vector<int> none(10, ignored_label);
  using Head = HeadUnderTest<LanguageModelHead<dynamic>>;
  auto make = [&]<class R>() { return LanguageModelHead<dynamic>::Labels{none.data()}; };
  const LayerTest test{.config = c, .in = 6, .out = 1, .rows_out = 1};
  const Head head(c);
  detail::LayerNumbers<float, Head> numbers(head, test);
  for (float& d : numbers.dx) d = 5;
  cpu::Backend b(1);
  numbers.run(b, CallHead<decltype(make)>{make}, true);
  CHECK(numbers.y[0] == 0);
  for (float d : numbers.dx) CHECK(d == 0);
  for (float d : numbers.d_matrices) CHECK(d == 0);
}

TEST_CASE("language model head counts the labels after the shift") {
  CHECK(LanguageModelHead<dynamic>::count_targets(labels.data(), 2, 5) == 6);
  CHECK(LanguageModelHead<dynamic>::count_targets(labels.data(), 10, 1) == 0);
}

TEST_CASE("double heads: every summary, activation, choice and language loss") {
  const std::vector<int> token_ids{0, 4, 2, 2}, choice_labels{1, 0};
  Config c = tiny();
  c.summary_first_dropout = 0.5;
  for (SummaryType type : {SummaryType::cls_index, SummaryType::last, SummaryType::first, SummaryType::mean})
    for (std::optional<Activation> a :
         {std::optional<Activation>(), std::optional(Activation::tanh), std::optional(Activation::gelu)})
      for (bool language : {true, false}) {
        c.summary_type = type;
        c.summary_activation = a;
        auto make = [&]<class R>() {
          DoubleHeads<dynamic>::Labels l;
          if (language) l.language.labels = labels.data();
          l.choices = 2, l.mc_token_ids = token_ids.data(), l.mc_labels = choice_labels.data();
          return l;
        };
        check_head<DoubleHeads<dynamic>>(c, {.batch = 4, .training = a.has_value()}, make);
      }
}

TEST_CASE("double heads: an ignored choice, no choice loss, the last position by default, bad positions") {
  Config c = tiny();
  c.summary_first_dropout = 0;
  const std::vector<int> choice_labels{ignored_label, 1}, bad{0, 5, 0, 0};
  auto ignoring = [&]<class R>() {
    DoubleHeads<dynamic>::Labels l;
    l.language.labels = labels.data(), l.choices = 2, l.mc_labels = choice_labels.data();
    return l;
  };
  check_head<DoubleHeads<dynamic>>(c, {.batch = 4}, ignoring);
  auto language_only = [&]<class R>() {
    DoubleHeads<dynamic>::Labels l;
    l.language.labels = labels.data();
    return l;
  };
  check_head<DoubleHeads<dynamic>>(c, {.batch = 4}, language_only);
  auto outside = [&]<class R>() {
    DoubleHeads<dynamic>::Labels l;
    l.language.labels = labels.data(), l.choices = 2, l.mc_token_ids = bad.data();
    return l;
  };
  CHECK_THROWS_WITH_AS(check_head<DoubleHeads<dynamic>>(c, {.batch = 4}, outside),
                       "mc_token_ids: position 5 of choice 1 is outside 0..4", Error);
  auto three = [&]<class R>() {
    DoubleHeads<dynamic>::Labels l;
    l.choices = 3, l.mc_labels = choice_labels.data();
    return l;
  };
  CHECK_THROWS_WITH_AS(check_head<DoubleHeads<dynamic>>(c, {.batch = 4}, three),
                       "labels: 4 rows are not a multiple of 3 choices per question", Error);
  const std::vector<int> too_large(10, 11);
  auto beyond = [&]<class R>() { return LanguageModelHead<dynamic>::Labels{too_large.data(), 4}; };
  CHECK_THROWS_AS(check_head<LanguageModelHead<dynamic>>(c, {}, beyond), Error);
  c.summary_use_proj = false;
  CHECK_THROWS_AS(DoubleHeads<dynamic>{c}, Error);
}
