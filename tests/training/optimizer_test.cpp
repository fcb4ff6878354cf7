#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "io/expect_error.hpp"
#include "moderngpt2/model/heads.hpp"
#include "moderngpt2/run/plan.hpp"
#include "moderngpt2/training/model_optimizer.hpp"
#include "training/tiny_run.hpp"

using namespace moderngpt2;

namespace {

/// SGD on matrices, each divided by its number of rows, with one state tensor that only matrices have.
template <class M>
class RowSgd {
 public:
  static constexpr const char* name = "RowSgd";
  static constexpr bool needs_whole_matrices = true;

  explicit RowSgd(const TrainingSettings&) {}
  template <class Self, class Visitor>
  static void describe_state(Self& self, Visitor&& visit) {
    visit("seen", self.seen, StateScope::matrices);
  }
  template <class Piece>
  void update(typename M::Backend&, const Piece& piece, const UpdateStep& step) {
    if constexpr (Piece::is_matrix) {
      REQUIRE(piece.parameter);
      const double rate = step.learning_rate * step.gradient_scale / double(piece.parameter->shape[0]);
      for (std::int64_t i = 0; i < piece.count; ++i) {
        piece.weights[i] -= float(rate) * piece.gradients[i];
        piece.state(seen)[i] += 1;
        if constexpr (Piece::has_rounded) piece.rounded[i] = bf16(piece.weights[i]);
      }
      parameters.push_back(piece.parameter->name);
    } else {
      REQUIRE(!piece.parameter);
    }
  }

  StateTensors<M> seen;
  std::vector<std::string> parameters;  ///< in the order of their updates
};

}  // namespace

TEST_CASE_TEMPLATE("an optimizer that needs whole matrices gets each by itself, with its shape", M, CausalLM<any_shape>,
                   CausalLM<any_shape, cpu::Backend, Bf16>) {
  M model(test::tiny_config(), cpu::Backend(1));
  ModelOptimizer<M, RowSgd<M>> optimizer(model, {.max_grad_norm = 0});
  optimizer.fill(model, FreshWeights(model.config(), 1));
  auto gradients = model.make_gradients();
  for (float& g : gradients.matrices) g = 1;
  const FlatBuffer<float> before(model.weights().matrices.size());
  for (std::int64_t i = 0; i < before.size(); ++i) before.data()[i] = optimizer.masters().all(model).matrices[i];
  CHECK(optimizer.step(model, gradients, 0.5).applied);
  std::vector<std::string> matrices;
  for (const ParameterInfo& p : model.parameters()) {
    if (!p.is_matrix()) continue;
    matrices.push_back(p.name);
    const std::int64_t last = p.offset + p.size - 1;
    const float kept = optimizer.masters().all(model).matrices[last];
    CHECK(kept == before.data()[last] - float(0.5 / double(p.shape[0])));
    CHECK(float(model.weights().matrices[last]) == (M::rounds_weights ? float(bf16(kept)) : kept));
    CHECK(optimizer.rule().seen.matrices[last] == 1);
  }
  CHECK(optimizer.rule().parameters == matrices);
  CHECK(optimizer.rule().seen.vectors.size() == 0);
}

TEST_CASE("an optimizer that needs whole matrices is refused where ZeRO cuts them") {
  using M = CausalLM<any_shape>;
  TrainingSettings settings;
  settings.world_size = 2;
  M model(test::tiny_config(), cpu::Backend(1), distributed::buffer_granule(2));
  const distributed::Shard shard = layout_of(model, settings, 2).shard(0);
  using Optimizer = ModelOptimizer<M, RowSgd<M>>;
  CHECK_ERROR(Optimizer(model, settings, RowSgd<M>(settings), shard), "zero_stage: RowSgd updates whole matrices",
              "Set zero_stage to 0.");
}

TEST_CASE("the memory plan counts the state tensors of an optimizer") {
  using M = CausalLM<any_shape>;
  const TrainingSettings settings;
  const CountParameters count = M::Layers(test::tiny_config()).count();
  const auto state = [&](const MemoryPlan& plan) {
    for (const MemoryPlan::Line& line : plan.lines)
      if (line.what == "optimizer state") return line.bytes;
    return std::uint64_t{0};
  };
  const MemoryPlan adamw = plan_memory<M>(test::tiny_config(), settings, 16, 1);
  const MemoryPlan own = plan_memory<M, RowSgd<M>>(test::tiny_config(), settings, 16, 1);
  CHECK(state(adamw) == 8 * std::uint64_t(count.matrices + count.vectors));
  CHECK(state(own) == 4 * std::uint64_t(count.matrices));
  CHECK(adamw.checkpoint_bytes - own.checkpoint_bytes == state(adamw) - state(own));
}
