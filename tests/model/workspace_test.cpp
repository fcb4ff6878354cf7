#include <utility>

#include <doctest/doctest.h>

#include "model_under_test.hpp"
#include "moderngpt2/model/session.hpp"

using namespace moderngpt2;
using namespace moderngpt2::test;

namespace {

template <class Family>
void check_plan() {
  using Model = typename Family::template Model<cpu::Backend, Fp32>;
  const Config c = tiny_config();
  for (int threads : {1, 2}) {
    Model m(c, cpu::Backend(threads));
    fill_weights(m);
    std::size_t last = 0;
    for (Mode mode : {Mode::infer, Mode::train_recompute, Mode::train}) {
      auto work = m.workspace(tiny_batch, tiny_time, mode);
      using Views = std::remove_cvref_t<decltype(work.views)>;
      CHECK(work.bytes() == Views::bytes(m.layers(), tiny_batch, tiny_time, mode));
      CHECK(work.bytes() > last);
      last = work.bytes();
    }
    step<Family>(m, true);
    CHECK(m.backend().scratch_bytes() <=
          round_up(cpu::scratch_bytes<float>(c, {tiny_batch, tiny_time}, threads), alignment));
  }
}

}  // namespace

TEST_CASE("a workspace takes the planned memory, and operations at most the planned scratch") {
  check_plan<Language>();
  check_plan<DoubleHead>();
  check_plan<Sequence>();
  check_plan<Token>();
  check_plan<Question>();
}

TEST_CASE("a workspace serves smaller batches and times, and its first size again") {
  using Model = CausalLM<any_shape>;
  Model m(tiny_config());
  fill_weights(m);
  for (Mode mode : {Mode::train, Mode::train_recompute}) {
    const auto want = step<Language>(m, true, mode);
    auto work = m.workspace(5, 8, mode);
    for (auto [batch, time] :
         {std::pair{tiny_batch, tiny_time}, {1, 2}, {5, 8}, {3, 1}, {1, 8}, {tiny_batch, tiny_time}}) {
      auto fresh = m.workspace(batch, time, mode);
      auto pass = tiny_pass<float>(true, batch);
      pass.time = time;
      std::vector<int> ids;
      for (int i = 0; i < batch * time; ++i) ids.push_back(i % 13);
      if (batch == tiny_batch && time == tiny_time) ids.assign(tiny_ids.begin(), tiny_ids.end());
      std::vector<int> labels = ids;
      if (batch == tiny_batch && time == tiny_time) labels.assign(tiny_labels.begin(), tiny_labels.end());
      const LanguageModelHead<dynamic>::Labels l{labels.data()};
      auto a = m.make_gradients(), b = m.make_gradients();
      const double loss = m.loss_and_gradients(work, ids.data(), l, a, pass);
      CHECK(loss == m.loss_and_gradients(fresh, ids.data(), l, b, pass));
      CHECK(same_bits(a, b));
      if (batch == tiny_batch) CHECK(same_bits(a, want.gradients));
    }
  }
}

TEST_CASE("a batch larger than the workspace is refused, and the workspace still works") {
  CausalLM<any_shape> m(tiny_config());
  fill_weights(m);
  auto work = m.workspace(tiny_batch, tiny_time, Mode::train);
  const double loss = m.loss(work, tiny_ids.data(), Language::labels<CausalLM<any_shape>>(), tiny_pass<float>(true));
  const std::vector<int> ids(200, 1);
  auto larger = tiny_pass<float>(true, 40);
  CHECK_THROWS_AS(m.loss(work, ids.data(), LanguageModelHead<dynamic>::Labels{ids.data()}, larger), Error);
  CHECK(m.loss(work, tiny_ids.data(), Language::labels<CausalLM<any_shape>>(), tiny_pass<float>(true)) == loss);
}

TEST_CASE("a workspace without rows, or of more than an int counts, is refused before memory is computed") {
  const CausalLM<any_shape> m(tiny_config());
  for (const auto& [batch, time] : {std::pair(-1, 8), {8, -1}, {-8, -8}, {0, 8}, {8, 0}, {1 << 20, 1 << 20}}) {
    CHECK_THROWS_AS((void)m.workspace(batch, time, Mode::train), Error);
    CHECK_THROWS_AS(Session(m, batch, time), Error);
  }
}
