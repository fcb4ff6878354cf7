#include <cstdint>
#include <type_traits>
#include <vector>

#include <doctest/doctest.h>

#include "backend/cuda/simulated_kernel.hpp"
#include "model/model_under_test.hpp"
#include "moderngpt2/backend/cuda.hpp"
#include "moderngpt2/model/heads.hpp"

// Not for sanitizers: counts of allocations would be the same.
#if !defined(MODERNGPT2_SIMT_TSAN) && !defined(__SANITIZE_ADDRESS__)

using namespace moderngpt2;

namespace {

/// Labels: the first class, position or token everywhere; no class for multi-label tasks.
template <class Labels>
Labels first_labels(const int* zeros, const float* values) {
  Labels l;
  if constexpr (requires { l.language; })
    l.language.labels = l.mc_token_ids = l.mc_labels = zeros, l.choices = 2;
  else if constexpr (requires { l.classes; })
    values ? void(l.values = values) : void(l.classes = zeros);
  else if constexpr (requires { l.start_positions; })
    l.start_positions = l.end_positions = zeros;
  else
    l.labels = zeros;
  return l;
}

constexpr int reserved_batch = 4, reserved_time = 38;

/// Pass with all optional inputs.
template <class Kind, class Precision>
void check_reserved(const Config& config) {
  using M = typename Kind::template Model<cuda::Backend, Precision>;
  CAPTURE(M::Head::architecture);
  CAPTURE(sizeof(typename M::T));
  simt::machine().seed(0);
  M model(config);
  model.initialize(5);
  auto work = model.workspace(reserved_batch, reserved_time, Mode::train);
  auto gradients = model.make_gradients();
  cuda::Backend& b = model.backend();
  const PassSize size = model.layers().pass_size(reserved_batch, reserved_time);
  const std::size_t used = simt::device().used();
  reserve<typename M::T>(b, config, size);
  const PassMemory plan = pass_memory<typename M::T>(std::type_identity<cuda::Backend>{}, config, size, 1);
  CHECK(b.scratch_bytes() + b.blas().workspace_bytes() == plan.scratch);
  CHECK(b.inputs().bytes() == plan.uploaded);
  CHECK(simt::device().used() - used == plan.scratch - b.blas().workspace_bytes() + plan.uploaded);
  CHECK(plan.pinned == 2 * plan.uploaded);

  const std::int64_t allocations = simt::device().allocations;
  const std::vector<int> zeros(reserved_batch * reserved_time);
  const std::vector<std::int8_t> mask(zeros.size(), 1);
  const std::vector<float> values(reserved_batch * std::size_t(config.num_labels));
  const auto labels =
      first_labels<typename M::Head::Labels>(zeros.data(), config.num_labels > 3 ? values.data() : nullptr);
  const Pass<typename M::R> pass{.batch = reserved_batch,
                                 .time = reserved_time,
                                 .key_mask = mask.data(),
                                 .first_key = zeros.data(),
                                 .training = true};
  CHECK(double(model.loss_and_gradients(work, zeros.data(), labels, gradients, pass)) > 0);
  CHECK(double(model.loss(work, zeros.data(), labels, pass)) > 0);
  CHECK(sum_of_squares(b, gradients.matrices.data(), gradients.matrices.size()) > 0);
  CHECK(simt::device().allocations == allocations);
}

}  // namespace

TEST_CASE("passes allocate nothing beyond what was planned and reserved, from the first one on") {
  // Cases in which the largest scratch is that of logits, norms, attention, or a head's product of 16-bit rows with
  // fp32 scores.
  Config c = test::tiny_config();
  c.n_layer = 1, c.n_positions = 38, c.vocab_size = 40;
  check_reserved<test::Language, Fp32>(c);
  check_reserved<test::Language, Bf16>(c);
  check_reserved<test::DoubleHead, Fp32>(c);
  c.vocab_size = 257;  // rows of logits are 264 elements apart
  check_reserved<test::Language, Fp32>(c);
  check_reserved<test::Language, Bf16>(c);
  c.vocab_size = 40;
  check_reserved<test::Sequence, Fp32>(c);
  check_reserved<test::Question, Bf16>(c);
  c.n_head = 12, c.head_dim = 2;
  check_reserved<test::Sequence, Fp32>(c);
  c.n_head = 2, c.num_labels = 300;
  check_reserved<test::Token, Bf16>(c);
  c.num_labels = 6000;  // more values than the minimum chunk of inputs
  check_reserved<test::Sequence, Bf16>(c);
}

TEST_CASE("reserved scratch includes logits if tokens are predicted, up to the limit") {
  Config c = test::tiny_config();
  c.vocab_size = 50000;
  const auto scratch = [&](const PassSize& size) {
    return pass_memory<float>(std::type_identity<cuda::Backend>{}, c, size, 1).scratch;
  };
  const PassSize labels{64, 8, {.rows = 64, .scores = 3}};
  PassSize tokens{64, 8, {.predicts_tokens = true}};
  CHECK(scratch(labels) < 100'000);
  CHECK(scratch(tokens) >= std::uint64_t(64) * 8 * 50000 * 4);
  tokens.batch = 6400;
  CHECK(scratch(tokens) < std::uint64_t(cuda::Backend::default_logits_bytes) + 100'000);

  cuda::Backend b;
  b.limit_logits(16 * 50000 * 4);
  tokens.batch = 64;
  reserve<float>(b, c, tokens);
  CHECK(b.scratch_bytes() == (64 + 16 * 50000) * 4);
  c.vocab_size = 50257;
  reserve<float>(b, c, tokens);
  CHECK(b.scratch_bytes() == (64 + 16 * 50264) * 4);

  cuda::Backend graphs;
  const PassSize several{.batch = 2, .time = 8, .queued = 5};
  reserve<float>(graphs, c, several);
  const PassMemory plan = pass_memory<float>(std::type_identity<cuda::Backend>{}, c, several, 1);
  CHECK(graphs.inputs().buffers() == 5);
  CHECK(plan.uploaded == graphs.inputs().bytes());
  CHECK(plan.pinned == 5 * plan.uploaded);

  cuda::Backend small;
  reserve<float>(small, c, {});
  const cuda::DeviceArray<float> many(1 << 20);
  const std::int64_t allocations = simt::device().allocations;
  fill(small, many.data(), many.size(), 2.0f);
  CHECK(sum_of_squares(small, many.data(), many.size()) == 4.0 * (1 << 20));
  CHECK(simt::device().allocations == allocations);
}

#endif
