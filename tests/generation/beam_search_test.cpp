#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/generation/beam_search.hpp"
#include "moderngpt2/generation/generate.hpp"
#include "tiny_model.hpp"

using namespace moderngpt2;
using namespace moderngpt2::test;

namespace {

constexpr double never_chosen = -1e9;

struct Text {
  std::vector<int> ids;  // completion, eos included
  double score = never_chosen;
  bool finished = false;
};

bool better(const Text& a, const Text& b) { return a.score > b.score; }

/// Beam search after the tables of Hugging Face's `_beam_search`, without a KV cache.
template <class M>
std::vector<Text> naive_beam_search(M& model, const std::vector<int>& prompt, const GenerationOptions& o) {
  using T = typename M::T;
  const std::size_t beams = std::size_t(o.num_beams);
  const int limit = std::min(o.max_new_tokens, model.config().n_positions - int(prompt.size()));
  const std::size_t keep = beams * std::max<std::size_t>(2, 1 + o.eos_token_ids.size());
  std::vector<Text> running(beams), kept(beams);
  running[0].score = 0;
  for (int length = 1; length <= limit; ++length) {
    std::vector<Text> all;
    for (const Text& beam : running) {
      if (beam.score <= never_chosen) continue;
      std::vector<int> ids = prompt;
      ids.insert(ids.end(), beam.ids.begin(), beam.ids.end());
      std::vector<T> scores = logits_after(model, ids);
      double total = 0;
      for (const T x : scores) total += std::exp(double(x));
      for (T& x : scores) x = T(double(x) - std::log(total));
      if (o.repetition_penalty != 1)
        for (const int id : std::set<int>(ids.begin(), ids.end())) scores[std::size_t(id)] *= T(o.repetition_penalty);
      for (std::size_t v = 0; v < scores.size(); ++v) {
        std::vector<int> longer = ids;
        longer.push_back(int(v));
        bool allowed = length > o.min_new_tokens || std::ranges::find(o.eos_token_ids, int(v)) == o.eos_token_ids.end();
        if (const std::size_t n = std::size_t(o.no_repeat_ngram_size); n > 0)
          for (std::size_t i = 0; i + n < longer.size(); ++i)
            allowed = allowed &&
                      !std::equal(longer.end() - std::ptrdiff_t(n), longer.end(), longer.begin() + std::ptrdiff_t(i));
        if (allowed)
          all.push_back(
              {{longer.begin() + std::ptrdiff_t(prompt.size()), longer.end()}, beam.score + double(scores[v])});
      }
    }
    std::stable_sort(all.begin(), all.end(), better);
    all.resize(std::min(all.size(), keep));
    running.clear();
    std::vector<Text> merged = kept;
    for (std::size_t rank = 0; rank < all.size(); ++rank) {
      Text text = all[rank];
      const bool ends = std::ranges::find(o.eos_token_ids, text.ids.back()) != o.eos_token_ids.end();
      if (!ends && length < limit) {
        running.push_back(text);
      } else if (rank < beams) {
        text.score /= std::pow(double(length), o.length_penalty);
        text.finished = true;
        merged.push_back(text);
      }
    }
    running.resize(std::min(running.size(), beams));
    std::stable_sort(merged.begin(), merged.end(), better);
    merged.resize(beams);
    kept = merged;
    if (running.empty()) break;
    const bool full = std::ranges::all_of(kept, [](const Text& t) { return t.finished; });
    if (full && o.early_stopping == EarlyStopping::at_once) break;
    const int possible = o.early_stopping == EarlyStopping::never && o.length_penalty > 0 ? limit : length;
    if (full && running[0].score / std::pow(double(possible), o.length_penalty) <= kept.back().score) break;
  }
  std::erase_if(kept, [](const Text& t) { return !t.finished; });
  return kept;
}

template <class M>
void check_same(M& model, const std::vector<int>& prompt, const GenerationOptions& o) {
  const std::vector<Text> expected = naive_beam_search(model, prompt, o);
  const std::vector<GenerationResult> found = beam_search(model, prompt, o, o.num_beams);
  REQUIRE(found.size() == expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    std::vector<int> ids = found[i].tokens;
    if (found[i].eos_token) ids.push_back(*found[i].eos_token);
    CHECK(found[i].score == doctest::Approx(expected[i].score).epsilon(1e-5));
    // Texts of almost equal scores may change places.
    if (i > 0 && expected[i - 1].score - expected[i].score < 1e-4) continue;
    if (i + 1 < found.size() && expected[i].score - expected[i + 1].score < 1e-4) continue;
    CHECK(ids == expected[i].ids);
    CHECK((found[i].stop == StopReason::eos) == found[i].eos_token.has_value());
  }
}

const std::vector<int> prompt{5, 60, 0, 17, 17, 33, 2};

GenerationOptions beams(int count, int max_new_tokens) {
  GenerationOptions o;
  o.num_beams = count;
  o.max_new_tokens = max_new_tokens;
  return o;
}

Config softer_config() {
  Config c = tiny_config();
  c.vocab_size = 23;
  c.initializer_range = 0.2;  // beams that fork and eos that competes
  return c;
}

}  // namespace

TEST_CASE_TEMPLATE("beams are those of a plain search without cache", M, CpuModel, ReferenceModel) {
  const std::vector<int> small_prompt{5, 20, 0, 17, 17, 3, 2};
  int ended = 0;
  for (const std::uint64_t seed : {1, 2, 3, 4}) {
    M model = random_model<M>(softer_config(), seed);
    for (const int count : {1, 2, 3, 5})
      for (const std::vector<int>& eos : {std::vector<int>{}, {4}, {4, 9, 11}}) {
        GenerationOptions o = beams(count, 9);
        o.eos_token_ids = eos;
        INFO("seed " << seed << ", " << count << " beams, " << eos.size() << " eos");
        check_same(model, small_prompt, o);
        for (const GenerationResult& result : beam_search(model, small_prompt, o, count))
          ended += result.eos_token.has_value();
      }
  }
  CHECK(ended > 10);
}

TEST_CASE("penalties, early stopping and the rules on the text") {
  const std::vector<int> small_prompt{5, 20, 0, 17, 17, 3, 2};
  for (const std::uint64_t seed : {5, 6}) {
    ReferenceModel model = random_model<ReferenceModel>(softer_config(), seed);
    for (const double length_penalty : {-1.0, 0.0, 0.5, 3.0})
      for (const EarlyStopping stopping : {EarlyStopping::heuristic, EarlyStopping::at_once, EarlyStopping::never}) {
        GenerationOptions o = beams(3, 8);
        o.eos_token_ids = {4, 7};
        o.length_penalty = length_penalty;
        o.early_stopping = stopping;
        INFO("penalty " << length_penalty << ", stopping " << int(stopping));
        check_same(model, small_prompt, o);
      }
    GenerationOptions o = beams(4, 8);
    o.eos_token_ids = {4};
    o.repetition_penalty = 1.3;
    check_same(model, small_prompt, o);
    o.no_repeat_ngram_size = 2;
    check_same(model, small_prompt, o);
    o.min_new_tokens = 5;
    check_same(model, small_prompt, o);
    for (const GenerationResult& result : beam_search(model, small_prompt, o, 4)) CHECK(result.tokens.size() >= 5);
  }
}

TEST_CASE("every kind of attention, and the end of the model's positions") {
  for (const Config& config : variants()) {
    ReferenceModel model = random_model<ReferenceModel>(config);
    check_same(model, prompt, beams(3, 6));
    std::vector<int> almost_full(38, 3);
    almost_full[5] = 8;
    check_same(model, almost_full, beams(3, 6));
    const auto results = beam_search(model, almost_full, beams(3, 6), 2);
    REQUIRE(results.size() == 2);
    CHECK(results[0].stop == StopReason::n_positions);
    CHECK(results[0].tokens.size() == 2);
  }
}

TEST_CASE("one beam is the greedy choice, and fewer results are the first of more") {
  CpuModel model = random_model<CpuModel>(tiny_config());
  CHECK(beam_search(model, prompt, beams(1, 20)).at(0).tokens == generate(model, prompt, greedy(20)).tokens);
  const auto all = beam_search(model, prompt, beams(4, 10), 4);
  const auto two = beam_search(model, prompt, beams(4, 10), 2);
  REQUIRE(all.size() == 4);
  REQUIRE(two.size() == 2);
  for (std::size_t i = 0; i < 2; ++i) CHECK(two[i].tokens == all[i].tokens);
  CHECK(std::ranges::is_sorted(all, std::greater<>(), &GenerationResult::score));
  for (const int chunk : {1, 3, 6}) {
    GenerationOptions o = beams(4, 10);
    o.prefill_chunk = chunk;
    CHECK(beam_search(model, prompt, o).at(0).tokens == all[0].tokens);
  }
}

TEST_CASE("more beams than tokens, no new tokens, no tokens left, and a callback that ends the search") {
  Config config = tiny_config();
  config.vocab_size = 3;
  ReferenceModel model = random_model<ReferenceModel>(config);
  const std::vector<int> start{0, 1};
  check_same(model, start, beams(7, 4));
  CHECK(beam_search(model, start, beams(7, 1), 7).size() == 3);
  const auto none = beam_search(model, start, beams(2, 0), 2);
  REQUIRE(none.size() == 2);
  CHECK(none[0].tokens.empty());
  GenerationOptions once = beams(2, 30);
  once.no_repeat_ngram_size = 1;
  CHECK_THROWS_AS(beam_search(model, start, once, 2), Error);

  CpuModel larger = random_model<CpuModel>(tiny_config());
  const auto halted = beam_search(larger, prompt, beams(3, 20), 3, [](int done) { return done < 4; });
  REQUIRE(halted.size() == 3);
  CHECK(halted[0].stop == StopReason::callback);
  CHECK(halted[0].tokens.size() == 4);
}

TEST_CASE("beam search: invalid options are errors") {
  CpuModel model = random_model<CpuModel>(tiny_config());
  CHECK_THROWS_WITH_AS(beam_search(model, prompt, beams(3, 5), 4),
                       "num_return_sequences is 4, it must be between 1 and num_beams 3", Error);
  CHECK_THROWS_WITH_AS(beam_search(model, std::vector<int>(41, 3), beams(3, 5)),
                       "the prompt has 41 tokens, more than the model's n_positions 40: shorten it", Error);
  CHECK_THROWS_AS(generate(model, prompt, beams(2, 5)), Error);
}

TEST_CASE("continued beams are not copied, and forks copy the columns that differ") {
  CpuModel model = random_model<CpuModel>(tiny_config());
  CachedModel<CpuModel> rows(model, 3, 40, 8);
  detail::BeamRows<CpuModel> held(rows, 7);
  using Rows = std::vector<int>;
  CHECK(held.assign(Rows{0, 0, 0}) == Rows{0, 1, 2});
  CHECK(held.copied() == 14);  // the prompt, twice
  for (const int row : {0, 1, 2}) held.append(row, 10 + row);
  CHECK(held.assign(Rows{2, 0, 1}) == Rows{2, 0, 1});
  CHECK(held.copied() == 14);
  for (const int row : {0, 1, 2}) held.append(row, 20 + row);
  CHECK(held.assign(Rows{1, 1, 2}) == Rows{1, 0, 2});
  CHECK(held.copied() == 16);  // two tokens since row 0 and row 1 parted
  held.append(0, 30), held.append(1, 31), held.append(2, 32);
  CHECK(held.assign(Rows{0, 0, 2}) == Rows{0, 1, 2});
  CHECK(held.copied() == 17);
}
