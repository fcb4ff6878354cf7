#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "model/model_under_test.hpp"
#include "moderngpt2/backend/cuda.hpp"
#include "moderngpt2/generation/generate.hpp"
#include "moderngpt2/model/session.hpp"
#include "moderngpt2/training/model_optimizer.hpp"
#include "support/on_threads.hpp"

using namespace moderngpt2;

namespace {

using GpuModel = CausalLM<any_shape, cuda::Backend>;

std::vector<int> ids_of(int i) { return {1 + i, 9, 3 + i % 3, 2, 7}; }

double session_loss(Session<GpuModel>& session, int i) {
  const std::vector<int> ids = ids_of(i);
  return double(session.loss(ids.data(), {ids.data()}, {.batch = 1, .time = int(ids.size())}));
}

std::vector<int> text_of(const GpuModel& model, int i) {
  GenerationOptions options;
  options.max_new_tokens = 3;
  options.do_sample = i % 2 == 1;
  options.seed = std::uint64_t(i);
  return generate(model, ids_of(i), options).tokens;
}

/// Sets the random schedule of the calling thread; the default again at the end of the scope.
struct Schedule {
  explicit Schedule(std::uint64_t seed) { simt::machine().seed(seed); }
  ~Schedule() { simt::machine().seed(0); }
};

}  // namespace

TEST_CASE("a new context has the settings of the first and a stream of its own") {
  cuda::Backend b;
  b.use_tf32(true);
  b.limit_logits(12345);
  b.search_products(true);
  const cuda::Backend other = new_context(b);
  CHECK(other.device() == b.device());
  CHECK(other.stream().get() != b.stream().get());
  CHECK(other.tf32());
  CHECK(other.logits_bytes() == 12345);
  CHECK(other.searches_products());
  CHECK_FALSE(new_context(cuda::Backend()).tf32());
}

TEST_CASE("sessions on one GPU, alternately and from two threads, compute what the model's own stream does") {
  GpuModel model(test::tiny_config());
  model.initialize(3);
  constexpr int count = 4;
  std::vector<double> losses;
  std::vector<std::vector<int>> texts;
  {
    auto work = model.workspace(1, 5, Mode::infer);
    for (int i = 0; i < count; ++i) {
      const std::vector<int> ids = ids_of(i);
      losses.push_back(double(model.loss(work, ids.data(), {ids.data()}, {.batch = 1, .time = 5})));
      texts.push_back(text_of(model, i));
    }
  }
  Session<GpuModel> first(model, 1, 5), second(model, 1, 5);
  for (int i = 0; i < count; ++i) {
    CHECK(session_loss(first, i) == losses[std::size_t(i)]);
    CHECK(session_loss(second, count - 1 - i) == losses[std::size_t(count - 1 - i)]);
  }

  simt::Device& gpu = simt::device();
  std::vector<int> wrong(2, 0);
  test::on_threads(2, [&](int thread) {
    const simt::DeviceScope scope(gpu);
    const Schedule schedule(std::uint64_t(thread) + 5);
    Session<GpuModel> own(model, 1, 5);
    for (int k = 0; k < count; ++k) {
      const int i = (k + thread) % count;
      wrong[std::size_t(thread)] += session_loss(own, i) != losses[std::size_t(i)];
      wrong[std::size_t(thread)] += text_of(model, i) != texts[std::size_t(i)];
    }
  });
  CHECK(wrong == std::vector<int>(2, 0));
  // A session may change its thread.
  double there = 0;
  CHECK(test::on_other_thread([&] {
          const simt::DeviceScope scope(gpu);
          there = session_loss(first, 1);
        }) == "");
  CHECK(there == losses[1]);
  CHECK(session_loss(first, 2) == losses[2]);
}

TEST_CASE("passes of a session come after updates that the model's stream has queued") {
  for (const std::uint64_t seed : {1, 2, 3, 4, 5, 6}) {
    CAPTURE(seed);
    const Schedule schedule(seed);
    GpuModel model(test::tiny_config());
    model.initialize(3);
    ModelOptimizer<GpuModel> optimizer(model, {});
    auto gradients = model.make_gradients();
    auto work = model.workspace(1, 5, Mode::train);
    Session<GpuModel> session(model, 1, 5);
    const std::vector<int> ids = ids_of(0);
    const auto step = [&] {
      model.loss_and_gradients(work, ids.data(), {ids.data()}, gradients, {.batch = 1, .time = 5, .training = true});
      optimizer.update(model, {{gradients.matrices.data(), gradients.vectors.data()}}, {.learning_rate = 0.1},
                       [](std::size_t) {});
    };
    step();
    const double queued = session_loss(session, 0);
    model.backend().synchronize();
    CHECK(session_loss(session, 0) == queued);
    step();
    const std::vector<int> text = text_of(model, 0);
    model.backend().synchronize();
    CHECK(text_of(model, 0) == text);
  }
}
