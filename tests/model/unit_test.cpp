#include <cstddef>
#include <cstdint>
#include <vector>

#include <doctest/doctest.h>

#include "model/model_under_test.hpp"
#include "moderngpt2/model/heads.hpp"
#include "moderngpt2/model/parameters.hpp"
#include "moderngpt2/model/unit.hpp"

using namespace moderngpt2;

TEST_CASE("units are ordered as a forward pass uses them") {
  constexpr int half_blocks = 4;
  std::vector<Unit> order;
  for (Unit unit = Unit::embedding(); unit <= Unit::head(half_blocks); unit = unit.next()) order.push_back(unit);
  CHECK(order == std::vector<Unit>{Unit::embedding(), Unit::half_block(0), Unit::half_block(1), Unit::half_block(2),
                                   Unit::half_block(3), Unit::head(half_blocks)});
  for (std::size_t i = 0; i < order.size(); ++i) CHECK(order[i].index() == int(i));
  CHECK(Unit::head(half_blocks).previous() == Unit::half_block(half_blocks - 1));
  CHECK(Unit::embedding().is_embedding());
  CHECK_FALSE(Unit::half_block(0).is_embedding());
}

TEST_CASE("a Unit made without arguments is none, and comes before all others") {
  static_assert(Unit().is_none() && !Unit::embedding().is_none() && Unit() < Unit::embedding());
  CHECK(Unit::embedding().previous() == Unit());
}

TEST_CASE("a decoder's units begin where their first matrices are") {
  const CausalLM<any_shape> model(test::tiny_config());
  const auto& layers = model.layers();
  std::vector<std::int64_t> begins{0};
  for (const ParameterInfo& p : model.parameters())
    if (p.is_matrix() && (p.name.ends_with("attn.q_proj.weight") || p.name.ends_with("mlp.gate_proj.weight") ||
                          p.name == "lm_head.weight"))
      begins.push_back(p.offset);
  const std::vector<UnitBegin> units = layers.all_unit_begins();
  REQUIRE(int(units.size()) == layers.half_blocks() + 2);
  CHECK(units.back().unit == layers.head_unit());
  for (std::size_t i = 0; i < units.size(); ++i) {
    CHECK(units[i].unit.index() == int(i));
    if (i < begins.size()) CHECK(units[i].begin == begins[i]);  // a tied head has no matrix
  }
  for (const UnitBegin& block : layers.unit_begins())
    CHECK(units[std::size_t(block.unit.index())].begin == block.begin);
}
