#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/generation/sampler.hpp"

using namespace moderngpt2;

namespace {

/// Logits of which the softmax gives these probabilities.
template <class T>
std::vector<T> logits_of(const std::vector<double>& probabilities) {
  std::vector<T> logits;
  for (const double p : probabilities) logits.push_back(T(std::log(p) + 1.5));
  return logits;
}

/// Remaining tokens, as a string of their digits.
template <class T>
std::string kept(const std::vector<T>& logits) {
  std::string digits;
  for (std::size_t i = 0; i < logits.size(); ++i)
    if (logits[i] != removed_logit<T>) digits += std::to_string(i);
  return digits;
}

template <class T>
std::string after_top_k(std::vector<T> logits, int k) {
  std::vector<T> scratch(logits.size());
  keep_top_k<T>(logits, k, scratch);
  return kept(logits);
}

template <class T>
std::string after_top_p(std::vector<T> logits, double p) {
  std::vector<int> scratch(logits.size());
  keep_top_p<T>(logits, p, scratch);
  return kept(logits);
}

template <class T>
std::string after_min_p(std::vector<T> logits, double p) {
  keep_min_p<T>(logits, p);
  return kept(logits);
}

/// Pearson's statistic of `draws` choices against probabilities.
double chi_square(const GenerationOptions& base, const std::vector<float>& logits, const std::vector<double>& expected,
                  bool by_sequence) {
  constexpr int draws = 20'000;
  std::vector<int> counts(logits.size());
  GenerationOptions options = base;
  for (int i = 0; i < draws; ++i) {
    if (by_sequence) options.sequence = std::uint64_t(i);
    Sampler<float> sampler(options, int(logits.size()));
    std::vector<float> row = logits;
    ++counts[std::size_t(sampler.choose(row, {}, by_sequence ? 3 : std::size_t(i)))];
  }
  double statistic = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const double mean = expected[i] * draws;
    if (mean == 0)
      statistic += counts[i] > 0 ? 1e9 : 0;
    else
      statistic += (counts[i] - mean) * (counts[i] - mean) / mean;
  }
  return statistic;
}

GenerationOptions plain() {
  GenerationOptions o;
  o.top_k = 0;
  o.top_p = 1;
  return o;
}

}  // namespace

TEST_CASE_TEMPLATE("repetition penalty divides positive logits and multiplies the others", T, float, double) {
  std::vector<T> logits{2, -2, 0, 3, -1};
  apply_repetition_penalty<T>(logits, std::vector<int>{0, 1, 2}, 2.0);
  CHECK(logits == std::vector<T>{1, -4, 0, 3, -1});
}

TEST_CASE("temperature divides") {
  std::vector<float> logits{2, -2, 0};
  apply_temperature<float>(logits, 0.5);
  CHECK(logits == std::vector<float>{4, -4, 0});
}

TEST_CASE_TEMPLATE("top-k keeps what equals the k-th", T, float, double) {
  const std::vector<T> logits{1, 5, 3, 3, 4, 3};
  CHECK(after_top_k(logits, 1) == "1");
  CHECK(after_top_k(logits, 2) == "14");
  CHECK(after_top_k(logits, 3) == "12345");
  CHECK(after_top_k(logits, 5) == "12345");
  CHECK(after_top_k(logits, 6) == "012345");
  CHECK(after_top_k(logits, 600) == "012345");
  CHECK(after_top_k(logits, 0) == "012345");
}

TEST_CASE_TEMPLATE("top-p keeps the smallest set that reaches p", T, float, double) {
  const std::vector<T> logits = logits_of<T>({0.1, 0.4, 0.2, 0.3});
  CHECK(after_top_p(logits, 0.0) == "1");
  CHECK(after_top_p(logits, 0.35) == "1");
  CHECK(after_top_p(logits, 0.45) == "13");
  CHECK(after_top_p(logits, 0.65) == "13");
  CHECK(after_top_p(logits, 0.75) == "123");
  CHECK(after_top_p(logits, 0.95) == "0123");
  CHECK(after_top_p(logits, 1.0) == "0123");
  std::vector<T> some = logits;  // the sum is over what is left
  some[1] = removed_logit<T>;
  CHECK(after_top_p(some, 0.45) == "3");
  CHECK(after_top_p(some, 0.55) == "23");
  CHECK(after_top_p(std::vector<T>(4, T(2)), 0.45) == "23");  // the last of equals stay
}

TEST_CASE_TEMPLATE("min-p is relative to the likeliest", T, float, double) {
  const std::vector<T> logits = logits_of<T>({0.1, 0.4, 0.2, 0.3});
  CHECK(after_min_p(logits, 0.0) == "0123");
  CHECK(after_min_p(logits, 0.24) == "0123");
  CHECK(after_min_p(logits, 0.26) == "123");
  CHECK(after_min_p(logits, 0.74) == "13");
  CHECK(after_min_p(logits, 1.0) == "1");
}

TEST_CASE("argmax takes the first of equals") {
  CHECK(argmax<float>(std::vector<float>{1, 3, 2, 3}) == 1);
  CHECK(argmax<float>(std::vector<float>{removed_logit<float>, -7}) == 1);
}

TEST_CASE("sampling walks the distribution function") {
  const std::vector<double> logits = logits_of<double>({0.25, 0.5, 0.25});
  CHECK(sample_softmax<double>(logits, 0.0) == 0);
  CHECK(sample_softmax<double>(logits, 0.249) == 0);
  CHECK(sample_softmax<double>(logits, 0.251) == 1);
  CHECK(sample_softmax<double>(logits, 0.749) == 1);
  CHECK(sample_softmax<double>(logits, 0.751) == 2);
  CHECK(sample_softmax<double>(logits, 1.0 - 0x1p-53) == 2);
  const double gone = removed_logit<double>;
  CHECK(sample_softmax<double>(std::vector<double>{gone, 1, gone}, 0.0) == 1);
  CHECK(sample_softmax<double>(std::vector<double>{gone, 1, gone}, 1.0) == 1);
}

TEST_CASE("sampled tokens follow the distribution") {
  const std::vector<float> logits = logits_of<float>({0.05, 0.4, 0.15, 0.1, 0.3});
  constexpr double bound = 18.5;  // 4 degrees of freedom: exceeded once in 1000
  for (const bool by_sequence : {false, true}) {
    GenerationOptions o = plain();
    CHECK(chi_square(o, logits, {0.05, 0.4, 0.15, 0.1, 0.3}, by_sequence) < bound);
    CHECK(chi_square(o, logits, {0.05, 0.37, 0.18, 0.1, 0.3}, by_sequence) > bound);
    o.top_k = 2;
    CHECK(chi_square(o, logits, {0, 4.0 / 7, 0, 0, 3.0 / 7}, by_sequence) < bound);
    o.top_k = 0, o.top_p = 0.8;
    CHECK(chi_square(o, logits, {0, 0.4 / 0.85, 0.15 / 0.85, 0, 0.3 / 0.85}, by_sequence) < bound);
    o.top_p = 1, o.min_p = 0.3;
    CHECK(chi_square(o, logits, {0, 0.4 / 0.85, 0.15 / 0.85, 0, 0.3 / 0.85}, by_sequence) < bound);
    o.min_p = 0, o.temperature = 0.5;
    const double sum = 0.0025 + 0.16 + 0.0225 + 0.01 + 0.09;
    CHECK(chi_square(o, logits, {0.0025 / sum, 0.16 / sum, 0.0225 / sum, 0.01 / sum, 0.09 / sum}, by_sequence) < bound);
  }
}

TEST_CASE("the settings act in Hugging Face's order") {
  GenerationOptions o = plain();
  o.repetition_penalty = 10;  // first: token 0 falls from 5 to 0.5, below top-k
  o.top_k = 2;
  Sampler<float> sampler(o, 4);
  std::vector<float> logits{5, 1, 2, 0};
  sampler.choose(logits, std::vector<int>{0, 0}, 0);
  CHECK(kept(logits) == "12");

  o = plain();
  o.temperature = 3;  // before top-p: at 1, token 1 alone has 0.73
  o.top_p = 0.7;
  std::vector<float> pair{0, 1};
  Sampler<float>(o, 2).choose(pair, {}, 0);
  CHECK(kept(pair) == "01");
}

TEST_CASE("greedy decoding applies only the repetition penalty, to its own tokens too") {
  GenerationOptions o;
  o.do_sample = false;
  o.temperature = 0;
  o.repetition_penalty = 4;
  Sampler<double> sampler(o, 3);
  std::vector<int> text;
  for (const int expected : {2, 1, 2}) {
    std::vector<double> logits{0, 3, 4};
    CHECK(sampler.choose(logits, text, text.size()) == expected);
    text.push_back(expected);
  }
}

TEST_CASE("no n-gram occurs twice") {
  const auto kept_after = [](const std::vector<int>& text, int size) {
    std::vector<float> logits{0, 1, 2, 3};
    forbid_repeated_ngrams<float>(logits, text, size);
    return kept(logits);
  };
  CHECK(kept_after({0, 1, 2, 0, 1}, 3) == "013");
  CHECK(kept_after({0, 1, 2, 0, 1, 3, 0, 1}, 3) == "01");
  CHECK(kept_after({0, 1, 2, 0}, 2) == "023");
  CHECK(kept_after({1, 1}, 2) == "023");
  CHECK(kept_after({1, 1}, 3) == "0123");  // 1 1 1 does not occur yet
  CHECK(kept_after({3, 1}, 1) == "02");
  CHECK(kept_after({0, 1}, 3) == "0123");
  CHECK(kept_after({}, 1) == "0123");
  CHECK(kept_after({0, 0, 0}, 0) == "0123");
}

TEST_CASE_TEMPLATE("log-softmax", T, float, double) {
  std::vector<T> logits = logits_of<T>({0.1, 0.4, 0.2, 0.3});
  logits.push_back(removed_logit<T>);
  apply_log_softmax<T>(logits);
  CHECK(logits[0] == doctest::Approx(std::log(0.1)));
  CHECK(logits[3] == doctest::Approx(std::log(0.3)));
  CHECK(logits[4] == removed_logit<T>);
}

TEST_CASE("rules on the text act on greedy choice and before the sampling settings") {
  GenerationOptions o;
  o.do_sample = false;
  o.eos_token_ids = {3, 77, -1};
  o.min_new_tokens = 2;
  o.no_repeat_ngram_size = 2;
  Sampler<float> sampler(o, 4);
  const std::vector<int> text{2, 0, 2};
  const auto choose = [&](std::size_t step) {
    std::vector<float> logits{3, 1, 2, 4};
    return sampler.choose(logits, text, step);
  };
  CHECK(choose(0) == 2);
  CHECK(choose(1) == 2);  // 3 is an eos, 2 0 has occurred
  CHECK(choose(2) == 3);

  o.do_sample = true, o.top_k = 1;
  std::vector<float> logits{3, 1, 2, 4};
  CHECK(Sampler<float>(o, 4).choose(logits, text, 0) == 2);

  o.no_repeat_ngram_size = 1;
  for (const bool do_sample : {false, true}) {
    o.do_sample = do_sample;
    std::vector<float> none{3, 1, 2, 4};
    CHECK_THROWS_WITH_AS(Sampler<float>(o, 4).choose(none, std::vector<int>{0, 1, 2, 3}, 3),
                         "no token is left to continue with: relax no_repeat_ngram_size 1 or min_new_tokens 2", Error);
  }
}

TEST_CASE("logits that are not numbers are an error") {
  Sampler<float> sampler(plain(), 2);
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    std::vector<float> logits{0, bad};
    CHECK_THROWS_AS(sampler.choose(logits, {}, 0), Error);
  }
  std::vector<float> short_row{1};
  CHECK_THROWS_AS(sampler.choose(short_row, {}, 0), Error);
}

TEST_CASE("settings out of range are named") {
  const auto refused = [](auto&& set) {
    GenerationOptions o;
    set(o);
    try {
      validate(o);
    } catch (const Error& error) {
      const std::string message = error.what();
      return message.substr(0, message.find(' '));
    }
    return std::string("accepted");
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(refused([](auto&) {}) == "accepted");
  CHECK(refused([](auto& o) { o.temperature = 0; }) == "temperature");
  CHECK(refused([&](auto& o) { o.temperature = nan; }) == "temperature");
  CHECK(refused([](auto& o) { o.temperature = 0, o.do_sample = false; }) == "accepted");
  CHECK(refused([](auto& o) { o.top_k = -1; }) == "top_k");
  CHECK(refused([](auto& o) { o.top_p = 1.1; }) == "top_p");
  CHECK(refused([&](auto& o) { o.min_p = nan; }) == "min_p");
  CHECK(refused([](auto& o) { o.repetition_penalty = 0; }) == "repetition_penalty");
  CHECK(refused([](auto& o) { o.max_new_tokens = -1; }) == "max_new_tokens");
  CHECK(refused([](auto& o) { o.prefill_chunk = 0; }) == "prefill_chunk");
  CHECK(refused([](auto& o) { o.min_new_tokens = -1; }) == "min_new_tokens");
  CHECK(refused([](auto& o) { o.no_repeat_ngram_size = -1; }) == "no_repeat_ngram_size");
  CHECK(refused([](auto& o) { o.num_beams = 0; }) == "num_beams");
  CHECK(refused([&](auto& o) { o.length_penalty = nan; }) == "length_penalty");
  CHECK(refused([](auto& o) { o.temperature = 0, o.num_beams = 2; }) == "accepted");
}

TEST_CASE("token ids of options must be in the vocabulary, but for tokens that are suppressed") {
  const auto refused = [](auto&& set) {
    GenerationOptions o;
    set(o);
    try {
      Sampler<float>(o, 4);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  CHECK(refused([](auto& o) {
          o.bad_words_ids = {{1}, {2, 4}};
        }) == "bad_words_ids has the token id 4, outside the vocabulary of 4: remove it");
  CHECK(refused([](auto& o) { o.sequence_bias = {{{-1}, 1.0}}; }).starts_with("sequence_bias has the token id -1"));
  CHECK(refused([](auto& o) { o.bad_words_ids = {{}}; }).starts_with("bad_words_ids has an empty sequence"));
  CHECK(refused([](auto& o) { o.forced_bos_token_id = 4; }).starts_with("forced_bos_token_id has the token id 4"));
  CHECK(refused([](auto& o) { o.forced_eos_token_id = {1, 9}; }).starts_with("forced_eos_token_id has the token id 9"));
  CHECK(refused([](auto& o) { o.suppress_tokens = {-1, 9}, o.begin_suppress_tokens = {9}; }) == "accepted");
}

TEST_CASE("options that a backend in device memory cannot apply are named") {
  GenerationOptions o;
  o.suppress_tokens = {1}, o.bad_words_ids = {{1, 2}}, o.min_length = 3, o.encoder_no_repeat_ngram_size = 2;
  CHECK(host_memory_options(o).empty());
  o.typical_p = 0.5, o.sequence_bias = {{{1}, 1.0}}, o.forced_eos_token_id = {2};
  CHECK(host_memory_options(o) == "sequence_bias, forced_eos_token_id, typical_p");
  o.do_sample = false;
  CHECK(host_memory_options(o) == "sequence_bias, forced_eos_token_id");
}
