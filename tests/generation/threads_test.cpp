#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/generation/generate.hpp"
#include "moderngpt2/model/dispatch.hpp"
#include "moderngpt2/model/session.hpp"
#include "support/on_threads.hpp"
#include "tiny_model.hpp"

using namespace moderngpt2;
using namespace moderngpt2::test;

namespace {

constexpr int thread_count = 8, text_count = 40;

std::vector<int> prompt_of(int i) {
  std::vector<int> prompt;
  for (int k = 0; k < 3 + i % 7; ++k) prompt.push_back((i * 17 + k * 5) % 61);
  return prompt;
}

GenerationOptions text_options(int i) {
  GenerationOptions o;
  o.max_new_tokens = 8 + i % 5;
  o.do_sample = i % 4 == 1;
  o.num_beams = i % 4 == 2 ? 3 : 1;
  o.seed = std::uint64_t(i);
  o.repetition_penalty = i % 2 ? 1.3 : 1;
  o.prefill_chunk = i % 3 ? 512 : 2;
  return o;
}

/// Text i: greedy, sampled, by beams or as a batch of three. A batch is returned as one list of tokens.
template <class M>
std::vector<int> text_of(const M& model, int i) {
  const std::vector<int> prompt = prompt_of(i);
  const GenerationOptions options = text_options(i);
  std::vector<GenerationResult> results;
  if (i % 4 == 2) {
    results = beam_search(model, prompt, options, 2);
  } else if (i % 4 == 3) {
    const std::vector<GenerationRequest> requests{{prompt, options}, {prompt_of(i + 1), options}, {prompt, options}};
    results = generate_batch(model, requests, 2);
  } else {
    results.push_back(generate(model, prompt, options));
  }
  std::vector<int> tokens;
  for (const GenerationResult& result : results)
    tokens.insert(tokens.end(), result.tokens.begin(), result.tokens.end());
  return tokens;
}

/// Loss of text i as training text, and the logits after it.
template <class M>
std::vector<double> scores_of(Session<M>& session, int i) {
  const std::vector<int> ids = prompt_of(i);
  const Pass<typename M::R> pass{.batch = 1, .time = int(ids.size())};
  std::vector<double> scores{double(session.loss(ids.data(), {ids.data()}, pass))};
  std::vector<typename M::Score> logits(std::size_t(session.model().config().vocab_size));
  const auto hidden = session.forward(ids.data(), pass);
  session.logits({logits.data(), 1, int(logits.size())}, hidden.slice(hidden.count - 1, 1));
  scores.insert(scores.end(), logits.begin(), logits.end());
  return scores;
}

template <class M>
M model_with(int threads) {
  if constexpr (std::is_same_v<typename M::Backend, cpu::Backend>) {
    M model(variants()[2], cpu::Backend(threads));
    model.initialize(7);
    return model;
  } else {
    return random_model<M>(variants()[2]);
  }
}

}  // namespace

TEST_CASE_TEMPLATE("threads that share a model get the texts and scores of one thread", M, CpuModel, CausalLMInBf16,
                   ReferenceModel) {
  for (const int team : {1, 2, 3}) {
    CAPTURE(team);
    const M model = model_with<M>(team);
    std::vector<std::vector<int>> texts;
    std::vector<std::vector<double>> scores;
    Session<M> alone(model, 1, 16);
    for (int i = 0; i < text_count; ++i) {
      texts.push_back(text_of(model, i));
      scores.push_back(scores_of(alone, i));
    }
    std::vector<int> wrong(std::size_t(thread_count), 0);
    on_threads(thread_count, [&](int thread) {
      Session<M> own(model, 1, 16);
      for (int k = 0; k < text_count; ++k) {
        const int i = (k + thread * 5) % text_count;
        wrong[std::size_t(thread)] += text_of(model, i) != texts[std::size_t(i)];
        wrong[std::size_t(thread)] += scores_of(own, i) != scores[std::size_t(i)];
      }
    });
    CHECK(wrong == std::vector<int>(std::size_t(thread_count), 0));
    if (!std::is_same_v<typename M::Backend, cpu::Backend>) break;
  }
}

TEST_CASE("a generator keeps its cache in its thread, and moves to another one") {
  const CpuModel model = model_with<CpuModel>(2);
  const auto on = [](int) { return true; };
  const auto turns = [&](Generator<CpuModel>& generator, int i) {
    std::vector<int> text = prompt_of(i);
    for (int turn = 0; turn < 3; ++turn) {
      GenerationOptions greedy_turn = greedy(5);
      const GenerationResult result = generator.generate(text, greedy_turn, on);
      text.insert(text.end(), result.tokens.begin(), result.tokens.end());
    }
    return text;
  };
  std::vector<std::vector<int>> expected;
  for (int i = 0; i < thread_count; ++i) {
    Generator<CpuModel> generator(model, 40);
    expected.push_back(turns(generator, i));
  }
  std::vector<std::vector<int>> got(std::size_t(thread_count), std::vector<int>{});
  on_threads(thread_count, [&](int i) {
    Generator<CpuModel> generator(model, 40);
    got[std::size_t(i)] = turns(generator, i);
  });
  CHECK(got == expected);

  Generator<CpuModel> moved(model, 40);
  CHECK(turns(moved, 0) == expected[0]);
  std::vector<int> there;
  CHECK(on_other_thread([&] { there = turns(moved, 1); }) == "");
  CHECK(there == expected[1]);
}

TEST_CASE("a context of the caller's sets the threads of a generation") {
  const CpuModel model = model_with<CpuModel>(3), single = model_with<CpuModel>(1);
  const auto on = [](int) { return true; };
  for (int i = 0; i < 8; ++i) {
    const std::vector<int> prompt = prompt_of(i);
    const std::vector<int> expected = generate(single, prompt, greedy(20), on).tokens;
    CHECK(generate(model, prompt, greedy(20), on, cpu::Backend(1)).tokens == expected);
    CHECK(Generator<CpuModel>(model, 40, 2, cpu::Backend(1)).generate(prompt, greedy(20), on).tokens ==
          Generator<CpuModel>(single, 40, 2).generate(prompt, greedy(20), on).tokens);
  }
  Session<CpuModel> session(model, 1, 4), own(model, 1, 4, cpu::Backend(2));
  CHECK(session.backend().threads() == 3);
  CHECK(own.backend().threads() == 2);
}

TEST_CASE("while a text is generated, other threads may generate too, but not change the weights") {
  CpuModel model = model_with<CpuModel>(1);
  const std::vector<int> prompt = prompt_of(1);
  const std::vector<int> expected = generate(model, prompt, greedy(6)).tokens;
  const std::vector<GenerationRequest> requests{{prompt, greedy(6)}};
  const std::string refused = "this model is in use by another thread";
  int calls = 0;
  const auto check_others = [&] {
    ++calls;
    std::vector<int> tokens;
    CHECK(on_other_thread([&] { tokens = generate(model, prompt, greedy(6)).tokens; }) == "");
    CHECK(tokens == expected);
    CHECK(on_other_thread([&] { model.initialize(8); }) == refused);
    return true;
  };
  CHECK(generate(model, prompt, greedy(6), [&](int) { return check_others(); }).tokens == expected);
  generate_batch(
      model, requests, 1, [&](std::size_t, int) { return check_others(); },
      [&](std::size_t, const GenerationResult& result) { CHECK(result.tokens == expected); });
  GenerationOptions two = greedy(6);
  two.num_beams = 2;
  beam_search(model, prompt, two, 1, [&](int) { return check_others(); });
  CHECK(calls >= 12);
  model.initialize(7);
  CHECK(generate(model, prompt, greedy(6)).tokens == expected);
}
