#include <algorithm>
#include <atomic>
#include <cstddef>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "consumers/foreign_layers/layers.hpp"
#include "moderngpt2/generation/batch_generator.hpp"
#include "moderngpt2/generation/generate.hpp"
#include "tiny_model.hpp"

using namespace moderngpt2;
using namespace moderngpt2::test;

namespace {

// Classes that refer to a model do not take a temporary.
using Lm = CausalLM<any_shape>;
static_assert(std::is_constructible_v<Generator<Lm>, Lm&, int> && !std::is_constructible_v<Generator<Lm>, Lm, int>);
static_assert(std::is_constructible_v<BatchGenerator<Lm>, const Lm&> &&
              !std::is_constructible_v<BatchGenerator<Lm>, Lm>);
static_assert(std::is_constructible_v<Session<Lm>, Lm&, int, int> &&
              !std::is_constructible_v<Session<Lm>, Lm, int, int>);

/// Requests of unequal lengths, greedy and sampled, some with equal prompts, some that soon end.
std::vector<GenerationRequest> passing_requests() {
  const std::vector<std::vector<int>> prompts{{5, 60, 0, 17, 17, 33, 2},
                                              {9},
                                              {},
                                              std::vector<int>(31, 4),
                                              {5, 60, 0, 17, 17, 33, 2},
                                              {5, 60, 0, 17, 3},
                                              {1, 2, 3, 4},
                                              {8, 8, 8, 8, 8, 8},
                                              {50, 51},
                                              {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}};
  std::vector<GenerationRequest> requests;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    GenerationRequest& r = requests.emplace_back(prompts[i]);
    r.options.max_new_tokens = std::vector{12, 3, 20, 30, 12, 1, 7, 0, 100, 9}[i];
    r.options.do_sample = i % 3 != 2;
    r.options.seed = 5;
    r.options.sequence = i;
    if (i != 8) r.options.eos_token_ids = {40, 41, 7};
    r.options.repetition_penalty = 1.2;
    if (i == 3) r.options.prefill_chunk = 4;
  }
  return requests;
}

template <class M>
std::vector<GenerationResult> results_alone(M& model, const std::vector<GenerationRequest>& requests) {
  std::vector<GenerationResult> results;
  for (const GenerationRequest& r : requests) results.push_back(generate(model, r.prompt, r.options));
  return results;
}

/// Tokens that callbacks have reported, and results.
struct Outcome {
  std::vector<int> tokens;
  GenerationResult result;
  int done = 0;
};

/// Callbacks that record into an Outcome, which must outlive the request.
RequestCallbacks recorded_in(Outcome& outcome) {
  return {.on_token = [&](RequestId, int token) { return outcome.tokens.push_back(token), true; },
          .on_done = [&](RequestId, GenerationResult r) { outcome.result = std::move(r), ++outcome.done; }};
}

template <class M>
void run_all(BatchGenerator<M>& texts) {
  while (texts.step()) {
  }
}

bool starts_with(const std::vector<int>& text, const std::vector<int>& beginning) {
  return beginning.size() <= text.size() && std::equal(beginning.begin(), beginning.end(), text.begin());
}

}  // namespace

TEST_CASE_TEMPLATE("requests that come and go get the tokens that each gets alone", M, CpuModel, ReferenceModel) {
  const std::vector<GenerationRequest> requests = passing_requests();
  std::set<StopReason> reasons;  // for an end
  for (const Config& config : variants()) {
    M model = random_model<M>(config);
    const std::vector<GenerationResult> expected = results_alone(model, requests);
    for (const int slots : {1, 2, 3, 20})
      for (const int chunk : {3, 512})
        for (const std::size_t stride : {1, 3, 7})  // orders of arrival
          for (const int gap : {0, 1, 4}) {         // steps between two arrivals
            INFO("slots " << slots << ", chunk " << chunk << ", stride " << stride << ", gap " << gap);
            BatchGenerator<M> texts(model, {.slots = slots, .prefill_chunk = chunk});
            std::vector<Outcome> outcomes(requests.size());
            for (std::size_t i = 0; i < requests.size(); ++i) {
              const std::size_t which = i * stride % requests.size();
              CHECK(texts.add(requests[which], recorded_in(outcomes[which])) == i + 1);
              for (int step = 0; step < gap; ++step) texts.step();
              CHECK(texts.running() <= slots);
            }
            run_all(texts);
            CHECK(texts.running() == 0);
            CHECK(texts.waiting() == 0);
            for (std::size_t i = 0; i < requests.size(); ++i) {
              INFO("text " << i);
              CHECK(outcomes[i].done == 1);
              CHECK(outcomes[i].tokens == expected[i].tokens);
              CHECK(outcomes[i].result.tokens == expected[i].tokens);
              CHECK(outcomes[i].result.stop == expected[i].stop);
              CHECK(outcomes[i].result.eos_token == expected[i].eos_token);
              CHECK(outcomes[i].result.prompt_tokens == expected[i].prompt_tokens);
              CHECK(outcomes[i].result.decode_passes == expected[i].decode_passes);
            }
          }
    for (const GenerationResult& r : expected) reasons.insert(r.stop);
  }
  CHECK(reasons == std::set{StopReason::eos, StopReason::max_new_tokens, StopReason::n_positions});
}

TEST_CASE("a step computes one token of each running text and a limited number of prompt tokens") {
  CpuModel model = random_model<CpuModel>(tiny_config());
  BatchGenerator texts(model, {.slots = 3, .prefill_chunk = 5});
  std::vector<Outcome> outcomes(4);
  texts.add({{1, 2}, greedy(12)}, recorded_in(outcomes[0]));
  CHECK(texts.waiting() == 1);
  CHECK(texts.step());
  CHECK(texts.running() == 1);
  CHECK(outcomes[0].tokens.size() == 1);
  texts.add({std::vector<int>(17, 3), greedy(2)}, recorded_in(outcomes[1]));  // 4 steps of at most 5 tokens
  texts.add({{4, 5, 6}, greedy(2)}, recorded_in(outcomes[2]));                // fits the rest of the 4th
  texts.add({{7, 8}, greedy(2)}, recorded_in(outcomes[3]));                   // waits for a slot
  for (std::size_t step = 1; step <= 4; ++step) {
    CHECK(texts.step());
    CHECK(outcomes[0].tokens.size() == 1 + step);
    CHECK(outcomes[1].tokens.size() == (step < 4 ? 0 : 1));
    CHECK(texts.running() == (step < 4 ? 2 : 3));
    CHECK(texts.waiting() == (step < 4 ? 2 : 1));
  }
  CHECK(outcomes[2].tokens.size() == 1);
  run_all(texts);
  CHECK(outcomes[1].result.tokens == generate(model, std::vector<int>(17, 3), greedy(2)).tokens);
  CHECK(outcomes[3].result.tokens == generate(model, std::vector{7, 8}, greedy(2)).tokens);
}

TEST_CASE("a prefix that is in the cache is copied") {
  CpuModel model = random_model<CpuModel>(tiny_config());
  const std::vector<int> system{1, 2, 3, 4, 5, 6, 7, 8};
  const auto with = [&](std::vector<int> more) {
    more.insert(more.begin(), system.begin(), system.end());
    return more;
  };
  const std::vector<std::vector<int>> prompts{with({20, 21}), with({22}), with({20, 21}), {1, 2, 30}, {31}};
  BatchGenerator texts(model, {.slots = 3});
  std::vector<Outcome> outcomes(prompts.size());
  for (std::size_t i = 0; i < prompts.size(); ++i) texts.add({prompts[i], greedy(5)}, recorded_in(outcomes[i]));
  run_all(texts);
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    CHECK(outcomes[i].result.tokens == generate(model, prompts[i], greedy(5)).tokens);
    CHECK(outcomes[i].result.cached_tokens == std::vector{0, 8, 9, 2, 0}[i]);
  }
  Outcome again;  // the text ended long ago, but is still in a free slot
  texts.add({prompts[3], greedy(5)}, recorded_in(again));
  run_all(texts);
  CHECK(again.result.tokens == outcomes[3].result.tokens);
  CHECK(again.result.cached_tokens == 2);
}

TEST_CASE("a cancelled request ends with its tokens so far, the others are not disturbed") {
  CpuModel model = random_model<CpuModel>(tiny_config());
  const std::vector<GenerationRequest> requests = passing_requests();
  const std::vector<GenerationResult> expected = results_alone(model, requests);
  for (const std::size_t victim : {0u, 2u, 3u, 8u})
    for (const int after : {0, 1, 2, 5})
      for (const std::size_t by : {victim, std::size_t(6), requests.size()}) {  // by a callback, or between steps
        INFO("victim " << victim << ", after " << after << ", by " << by);
        BatchGenerator texts(model, {.slots = 4, .prefill_chunk = 6});
        std::vector<Outcome> outcomes(requests.size());
        bool cancelled = false;
        int left = after;
        const auto cancel = [&] {
          if (left-- != 0) return;
          cancelled = texts.cancel(victim + 1);
          CHECK(!texts.cancel(victim + 1));
        };
        for (std::size_t i = 0; i < requests.size(); ++i) {
          RequestCallbacks callbacks = recorded_in(outcomes[i]);
          if (i == by)
            callbacks.on_token = [&, i](RequestId, int token) {
              outcomes[i].tokens.push_back(token);
              cancel();
              return true;
            };
          texts.add(requests[i], callbacks);
        }
        for (bool more = true; more;) {
          if (by == requests.size()) cancel();
          more = texts.step();
        }
        for (std::size_t i = 0; i < requests.size(); ++i) {
          INFO("text " << i);
          CHECK(outcomes[i].done == 1);
          CHECK(outcomes[i].tokens == outcomes[i].result.tokens);
          if (i != victim || !cancelled || outcomes[i].result.stop != StopReason::cancelled) {
            CHECK(outcomes[i].result.tokens == expected[i].tokens);
            CHECK(outcomes[i].result.stop == expected[i].stop);
          } else {
            CHECK(starts_with(expected[i].tokens, outcomes[i].tokens));
            if (by == victim) CHECK(outcomes[i].tokens.size() == std::size_t(after) + 1);
          }
        }
        if (by == requests.size() && after == 0) CHECK(outcomes[victim].tokens.empty());
      }
  BatchGenerator texts(model);
  CHECK(!texts.cancel(1));
  texts.add({{1}, greedy(1)});
  run_all(texts);
  CHECK(!texts.cancel(1));
}

TEST_CASE("a callback stops its text, adds requests, and may throw") {
  CpuModel model = random_model<CpuModel>(tiny_config());
  BatchGenerator texts(model, {.slots = 2});
  std::vector<Outcome> outcomes(4);
  RequestCallbacks stops = recorded_in(outcomes[0]), throws = recorded_in(outcomes[1]),
                   done_throws = recorded_in(outcomes[2]);
  stops.on_token = [&](RequestId, int token) { return outcomes[0].tokens.push_back(token), token < 0; };
  stops.on_done = [&](RequestId, GenerationResult r) {
    outcomes[0].result = std::move(r);
    texts.add({{7, 8, 9}, greedy(4)}, recorded_in(outcomes[3]));
    CHECK_THROWS_WITH_AS(
        texts.step(),
        "BatchGenerator::step() was called while it runs: call it from one thread, and not from a callback", Error);
  };
  throws.on_token = [&](RequestId id, int token) {
    CHECK(id == 2);
    outcomes[1].tokens.push_back(token);
    if (outcomes[1].tokens.size() == 2) throw std::runtime_error("a token");
    return true;
  };
  done_throws.on_done = [&](RequestId, GenerationResult r) {
    outcomes[2].result = std::move(r);
    throw std::runtime_error("an end");
  };
  texts.add({{1, 2, 3}, greedy(6)}, stops);
  texts.add({{4}, greedy(6)}, throws);
  texts.add({{5, 6}, greedy(3)}, done_throws);
  std::string thrown;
  for (bool more = true; more;) try {
      more = texts.step();
    } catch (const std::runtime_error& error) {
      thrown += error.what() + std::string(";");
    }
  CHECK(thrown == "a token;an end;");
  CHECK(outcomes[0].result.stop == StopReason::callback);
  CHECK(outcomes[0].result.tokens.size() == 1);
  CHECK(outcomes[1].tokens.size() == 2);
  CHECK(outcomes[1].done == 0);
  CHECK(outcomes[2].result.tokens == generate(model, std::vector{5, 6}, greedy(3)).tokens);
  CHECK(outcomes[3].result.tokens == generate(model, std::vector{7, 8, 9}, greedy(4)).tokens);
}

TEST_CASE("logits that are not finite end their text, not the others") {
  CpuModel model = random_model<CpuModel>(tiny_config());
  const std::vector<int> expected = generate(model, std::vector{1, 2}, greedy(4)).tokens;
  GenerationOptions impossible = greedy(4);  // min_new_tokens suppresses eos, and all tokens are eos
  for (int token = 0; token < model.config().vocab_size; ++token) impossible.eos_token_ids.push_back(token);
  impossible.min_new_tokens = 4;
  BatchGenerator texts(model);
  std::vector<Outcome> outcomes(2);
  texts.add({{3}, impossible}, recorded_in(outcomes[0]));
  texts.add({{1, 2}, greedy(4)}, recorded_in(outcomes[1]));
  CHECK_THROWS_AS(texts.step(), Error);
  run_all(texts);
  CHECK(outcomes[0].done == 0);
  CHECK(outcomes[1].result.tokens == expected);
}

TEST_CASE("requests and settings are checked before anything is computed") {
  CpuModel model = random_model<CpuModel>(tiny_config());
  BatchGenerator texts(model, {.slots = 2, .slot_tokens = 20});
  const auto refused = [&](std::vector<int> prompt, GenerationOptions options, const char* why) {
    CHECK_THROWS_WITH_AS(texts.add({std::move(prompt), options}), why, Error);
  };
  refused(std::vector<int>(15, 1), greedy(6),
          "a prompt of 15 tokens and max_new_tokens 6 exceed the 20 tokens of a slot: shorten them, or raise "
          "slot_tokens");
  refused(std::vector<int>(41, 1), greedy(1),
          "the prompt has 41 tokens, more than the model's n_positions 40: shorten it");
  refused({1, 61}, greedy(1), "token id 61 at position 1 of the prompt is outside the vocabulary of 61");
  refused({1, -1}, greedy(1), "token id -1 at position 1 of the prompt is outside the vocabulary of 61");
  refused({}, greedy(1), "an empty prompt starts from the eos token, but this model has none");
  GenerationOptions bad = greedy(1);
  bad.num_beams = 2;
  refused({1}, bad, "num_beams is 2, it must be 1: use beam_search() for several beams");
  bad = greedy(-1);
  refused({1}, bad, "max_new_tokens is -1, it must be at least 0");
  CHECK(texts.waiting() == 0);
  texts.add({std::vector<int>(14, 1), greedy(6)});
  run_all(texts);
  CHECK_THROWS_WITH_AS(BatchGenerator(model, {.slots = 2147483647}),
                       "BatchGeneratorSettings: slots is 2147483647, expected at most 65536", Error);
  CHECK_THROWS_WITH_AS(BatchGenerator(model, {.slots = 0}), "BatchGeneratorSettings: slots is 0, expected at least 1",
                       Error);
  CHECK_THROWS_AS(BatchGenerator(model, {.slot_tokens = -1}), Error);
  CHECK_THROWS_AS(BatchGenerator(model, {.prefill_chunk = 0}), Error);
}

TEST_CASE("an attention layer of a user decodes texts of unequal lengths, longer than its window") {
  CausalLM<any_shape, cpu::Backend, Fp32, Blocks<foreign::SlidingWindowAttention>> model(tiny_config());
  model.initialize(7);
  const std::vector<std::vector<int>> prompts{{5}, std::vector<int>(15, 4), {1, 2, 3, 4, 5, 6, 7, 8, 9}};
  BatchGenerator texts(model, {.slots = 3, .prefill_chunk = 4}, cpu::Backend(1));
  std::vector<Outcome> outcomes(prompts.size());
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    texts.add({prompts[i], greedy(20)}, recorded_in(outcomes[i]));
    texts.step();
  }
  run_all(texts);
  for (std::size_t i = 0; i < prompts.size(); ++i)
    CHECK(outcomes[i].tokens == generate(model, prompts[i], greedy(20)).tokens);
}

TEST_CASE("a step is refused while another thread changes the weights, and continues afterwards") {
  CpuModel model = random_model<CpuModel>(tiny_config());
  BatchGenerator texts(model);
  Outcome outcome;
  texts.add({{1, 2, 3}, greedy(6)}, recorded_in(outcome));
  texts.step();
  {
    const auto change = model.exclusive_use();
    std::thread([&] { CHECK_THROWS_AS(texts.step(), Error); }).join();
    CHECK(texts.running() == 1);
  }
  run_all(texts);
  CHECK(outcome.tokens == generate(model, std::vector{1, 2, 3}, greedy(6)).tokens);
}

TEST_CASE("the memory of the cache is known before it is allocated") {
  const Config config = tiny_config();
  CpuModel model = random_model<CpuModel>(config);
  const BatchGeneratorSettings settings{.slots = 3, .slot_tokens = 16};
  const BatchGenerator texts(model, settings);
  CHECK(texts.bytes() == BatchGenerator<CpuModel>::bytes(config, settings));
  CHECK(texts.bytes() == std::size_t(2 * config.n_layer * 3 * 16 * config.kv_width()) * sizeof(float));
  CHECK(BatchGenerator(model, {.slot_tokens = 1000}).settings().slot_tokens == config.n_positions);
  CHECK(BatchGenerator(model).bytes() == BatchGenerator<CpuModel>::bytes(config));
}

TEST_CASE("requests are added and cancelled by other threads while one thread steps") {
  CpuModel model = random_model<CpuModel>(tiny_config());
  const std::vector<GenerationRequest> requests = passing_requests();
  const std::vector<GenerationResult> expected = results_alone(model, requests);
  constexpr std::size_t threads = 3, rounds = 4;
  BatchGenerator texts(model, {.slots = 4, .prefill_chunk = 8});
  std::vector<Outcome> outcomes(threads * rounds * requests.size());
  std::atomic<std::size_t> adding = threads;
  std::vector<std::thread> clients;
  for (std::size_t thread = 0; thread < threads; ++thread)
    clients.emplace_back([&, thread] {
      for (std::size_t i = 0; i < rounds * requests.size(); ++i) {
        const RequestId id =
            texts.add(requests[i % requests.size()], recorded_in(outcomes[thread * rounds * requests.size() + i]));
        if (i % 3 == thread) texts.cancel(id);
        CHECK(texts.running() + texts.waiting() >= 0);
        std::this_thread::yield();
      }
      --adding;
    });
  while (texts.step() || adding > 0) {
  }
  for (std::thread& client : clients) client.join();
  run_all(texts);
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    const GenerationResult& alone = expected[i % requests.size()];
    CHECK(outcomes[i].done == 1);
    CHECK(outcomes[i].tokens == outcomes[i].result.tokens);
    if (outcomes[i].result.stop == StopReason::cancelled)
      CHECK(starts_with(alone.tokens, outcomes[i].tokens));
    else
      CHECK(outcomes[i].tokens == alone.tokens);
  }
}
