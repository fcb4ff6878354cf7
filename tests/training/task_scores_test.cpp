#include <array>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/training/tasks/answer_scores.hpp"
#include "moderngpt2/training/tasks/classification_scores.hpp"
#include "moderngpt2/training/tasks/entity_scores.hpp"

using namespace moderngpt2;

namespace {

double score(const ScoreList& scores, std::string_view name) {
  for (const auto& [known, value] : scores)
    if (known == name) return value;
  return -1;
}

void check(const ScoreList& scores, const ScoreList& expected) {
  CHECK(scores.size() == expected.size());
  for (const auto& want : expected)
    CHECK_MESSAGE(score(scores, want.first) == doctest::Approx(want.second).epsilon(1e-12), want.first);
}

std::vector<std::string_view> words(std::string_view line) {
  std::vector<std::string_view> parts;
  while (!line.empty()) {
    const std::size_t space = std::min(line.find(' '), line.size());
    parts.push_back(line.substr(0, space));
    line.remove_prefix(std::min(space + 1, line.size()));
  }
  return parts;
}

}  // namespace

// The expected values of this file are those of scikit-learn 1.9.1, SciPy 1.17.1, seqeval 1.2.2 and SQuAD's own script.

TEST_CASE("one class each: accuracy and F1 as scikit-learn's") {
  const std::vector<int> actual{0, 1, 2, 2, 1, 0, 3, 2, 2, 1}, predicted{0, 2, 2, 2, 1, 1, 0, 2, 1, 1};
  const ScoreList four{{"accuracy", 0.6}, {"f1_macro", 0.45535714285714285}, {"f1_weighted", 0.5714285714285714}};
  check(single_label_scores(predicted, actual, 4), four);
  check(single_label_scores(predicted, actual, 6), four);  // classes that do not occur count for nothing
  const std::vector<int> a{0, 1, 1, 1, 0, 0, 1, 1}, p{0, 1, 0, 1, 1, 0, 1, 1};
  check(single_label_scores(p, a, 2), {{"accuracy", 0.75},
                                       {"f1_macro", 0.7333333333333334},
                                       {"f1_weighted", 0.75},
                                       {"f1", 0.8},
                                       {"precision", 0.8},
                                       {"recall", 0.8}});
}

TEST_CASE("several classes each: micro scores as scikit-learn's") {
  const std::vector<std::uint8_t> a{1, 0, 1, 0, 1, 0, 0, 0, 0, 1, 1, 1, 0, 0, 1};
  const std::vector<std::uint8_t> p{1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 1, 1, 1, 0, 1};
  check(multi_label_scores(p, a, 3), {{"f1", 0.8},
                                      {"precision", 0.75},
                                      {"recall", 0.8571428571428571},
                                      {"f1_macro", 0.8222222222222223},
                                      {"accuracy", 0.4}});
}

TEST_CASE("numbers: error and correlations as SciPy's") {
  const std::vector<double> a{1.0, 2.5, 3.0, 3.0, 4.5, 0.0}, p{1.2, 2.0, 3.5, 2.0, 5.0, 0.5};
  check(regression_scores(p, a, 1),
        {{"mse", 0.34}, {"pearson", 0.9224614165021022}, {"spearmanr", 0.9558823529411764}});
  check(regression_scores(p, a, 2), {{"mse", 0.34}});
}

TEST_CASE("entities are seqeval's, whatever order their tags have") {
  using Found = std::vector<Entity>;
  CHECK(entities_of(words("O B-PER I-PER B-LOC B-LOC")) == Found{{"PER", 1, 3}, {"LOC", 3, 4}, {"LOC", 4, 5}});
  CHECK(entities_of(words("I-ORG I-ORG O B-MISC I-MISC I-PER")) == Found{{"ORG", 0, 2}, {"MISC", 3, 5}, {"PER", 5, 6}});
  CHECK(entities_of(words("B-PER B-PER E-LOC S-LOC O")) ==
        Found{{"PER", 0, 1}, {"PER", 1, 2}, {"LOC", 2, 3}, {"LOC", 3, 4}});
  CHECK(entities_of(words("B-PER I-PER I-LOC S-LOC O")) == Found{{"PER", 0, 2}, {"LOC", 2, 3}, {"LOC", 3, 4}});
  CHECK(entities_of({}).empty());
  EntityCount count;
  count.add(words("O B-PER I-PER B-LOC B-LOC"), words("O B-PER I-PER O B-LOC"));
  count.add(words("B-ORG I-ORG O B-MISC O I-PER"), words("I-ORG I-ORG O B-MISC I-MISC I-PER"));
  count.add(words("B-PER I-PER I-LOC S-LOC O"), words("B-PER B-PER E-LOC S-LOC O"));
  const double two_thirds = 2.0 / 3;
  check(count.scores(), {{"accuracy", 0.6875}, {"precision", two_thirds}, {"recall", two_thirds}, {"f1", two_thirds}});
}

TEST_CASE("answers are compared as SQuAD's script compares them") {
  const auto check_pair = [](const char* predicted, const char* actual, double exact, double f1) {
    CAPTURE(predicted);
    CHECK(exact_match(predicted, actual) == exact);
    CHECK(answer_f1(predicted, actual) == doctest::Approx(f1).epsilon(1e-12));
  };
  check_pair("The  Eiffel-Tower!", "eiffeltower", 1, 1);
  check_pair("a big, big dog", "The big dog", 0, 0.8);
  check_pair("in 1999", "1999", 0, 2.0 / 3);
  check_pair("", "the", 1, 1);
  check_pair("An apple a day", "apple day day", 0, 0.8);
  check_pair("x", "y", 0, 0);
}

TEST_CASE("the best span keeps its order, its length and its text") {
  const std::array<float, 6> starts{9, 1, 5, 2, 0, 4}, ends{9, 0, 1, 3, 6, 2};
  const auto best = [&](int begin, int end, int most) {
    return best_span<const float>(starts, ends, begin, end, most);
  };
  CHECK(best(1, 6, 30).start == 2);
  CHECK(best(1, 6, 30).end == 4);
  CHECK(best(1, 6, 30).score == 11);
  CHECK(best(1, 6, 2).start == 2);  // 5 + 3
  CHECK(best(1, 6, 2).end == 3);
  CHECK(best(5, 6, 30).score == 6);
  CHECK(best(6, 6, 30).start == -1);
  CHECK(best_span<const float>(starts, ends, 1, 6, 30, 1).start == -1);  // the best start and end are outside
}
