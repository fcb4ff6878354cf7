// Models with layers that are not the library's: config, counts, planned memory, initial values.
#include <array>
#include <cstddef>
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "consumers/foreign_layers/layers.hpp"
#include "io/expect_error.hpp"
#include "model_under_test.hpp"
#include "moderngpt2/io/config_file.hpp"

using namespace moderngpt2;
using namespace moderngpt2::test;
using foreign::ChannelScaling, foreign::NormWithoutGain, foreign::SlidingWindowAttention, foreign::TwoExperts;

namespace {

using Foreign = Blocks<SlidingWindowAttention, TwoExperts, NormWithoutGain>;
using ForeignModel = CausalLM<any_shape, cpu::Backend, Fp32, Foreign>;

/// A layer whose name or field config.json could not keep.
template <auto layer_name, auto field_name>
struct Misnamed {
  static constexpr const char* name = layer_name();
  static constexpr std::array fields{LayerField{field_name(), 1}};
};

using ScalingModel = CausalLM<any_shape, cpu::Backend, Fp32, Blocks<Standard, ChannelScaling, NormWithoutGain>>;

}  // namespace

TEST_CASE("a model completes the fields of its layers and refuses others") {
  Config config = tiny_config();
  CHECK(ForeignModel(config).config().blocks.attention.get<SlidingWindowAttention>("window") == 8);
  config.blocks.attention.set("window", 3);
  const ForeignModel model(config);
  CHECK(model.layers().attention_half.mixer.window == 3);
  const BlocksConfig& blocks = model.config().blocks;
  CHECK(blocks.attention.type() == "sliding_window");
  CHECK(blocks.attention.size() == 2);
  CHECK(blocks.mlp.type() == "two_experts");
  CHECK(blocks.norm.type() == "norm_without_gain");

  // Through config.json and back.
  ConfigFile file;
  file.config = model.config();
  CHECK(parse_config(config_to_json(file), "c").config.blocks == blocks);

  using Standard = CausalLM<any_shape>;
  using Half = CausalLM<any_shape, cpu::Backend, Fp32, Blocks<SlidingWindowAttention>>;
  CHECK_ERROR(Standard(model.config()), "blocks.attention is sliding_window", "the library's own layer");
  CHECK_ERROR(Standard::parameter_count(model.config()), "blocks.attention is sliding_window");
  CHECK_ERROR(Half(model.config()), "blocks.mlp is two_experts");
  Config other = model.config();
  other.blocks.attention.set_type("linear");
  CHECK_ERROR(ForeignModel(other), "blocks.attention is linear, this program's model has sliding_window");
  other = model.config();
  other.blocks.attention.set("sinks", 1);
  CHECK_ERROR(ForeignModel(other), "blocks.attention has a field sinks, which sliding_window does not have");
  other = tiny_config();
  other.blocks.norm.set("gain", 1);
  CHECK_ERROR(Standard(other), "blocks.norm has a field gain");
  other = model.config();
  other.blocks.attention.set("window", 0);
  CHECK_ERROR(ForeignModel(other), "blocks.attention.window is 0");
}

TEST_CASE("a layer has no type, field or value that config.json could not keep") {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  LayerConfig layer;
  CHECK_ERROR(layer.set("window", std::numeric_limits<double>::quiet_NaN()), "field window of a layer is nan");
  CHECK_ERROR(layer.set("window", infinity), "field window of a layer is inf, it must be finite");
  CHECK_ERROR(layer.set("window", -infinity), "field window of a layer is -inf");
  for (const char* name : {"", "type", "a b", "a\"", "\u00fc"}) CHECK_ERROR(layer.set(name, 1), "cannot be a field");
  for (const char* name : {"", "a b", "a/b"}) CHECK_ERROR(layer.set_type(name), "cannot be the type of a layer");
  CHECK(layer == LayerConfig());

  constexpr auto empty = [] { return ""; };
  constexpr auto word = [] { return "word"; };
  constexpr auto words = [] { return "two words"; };
  constexpr auto type = [] { return "type"; };
  const auto complete = [&]<class L>(L) { complete_layer_config<L>(layer = {}, "blocks.mlp"); };
  CHECK_ERROR(complete(Misnamed<empty, word>()), "\"\" cannot be the type of a layer");
  CHECK_ERROR(complete(Misnamed<words, word>()), "\"two words\" cannot be the type of a layer");
  CHECK_ERROR(complete(Misnamed<word, type>()), "\"type\" cannot be a field");
  complete(Misnamed<word, word>());
}

TEST_CASE("what a model counts is what its layers describe") {
  const Config c = tiny_config();
  const ForeignModel::Layers layers(c);
  const std::int64_t attention = c.n_embd * 2 * (c.query_width() + c.kv_width());
  const std::int64_t mlp = 2 * c.n_embd + 2 * 2 * c.n_embd * (c.n_inner / 2), head = c.n_embd * c.vocab_size;
  CHECK(layers.matmul_parameters() == c.n_layer * (attention + mlp) + head);
  std::int64_t elements = 0, vectors = 0;
  for (const ParameterInfo& p : layers.list()) {
    elements += p.size;
    if (!p.is_matrix()) vectors += p.size;
  }
  CHECK(layers.count().elements == elements);
  CHECK(layers.count().matrix_elements == elements - vectors);
  CHECK(vectors == c.n_layer * (2 * c.head_dim + 2));
  const double extra = layers.attention_half.mixer.extra_flops_per_token(9) - 4.0 * c.n_embd * (c.n_inner / 2);
  CHECK(layers.training_flops_per_token(9) ==
        doctest::Approx(6.0 * double(layers.matmul_parameters()) + 3.0 * c.n_layer * extra));
  CHECK(layers.pass_size(2, 9).operations.norm_rows == c.n_head);
  CHECK(layers.pass_size(2, 9).operations.width == c.head_dim);
  const OperationSizes standard = CausalLM<any_shape>::Layers(c).pass_size(2, 9).operations;
  CHECK(standard.width + standard.head_dim + standard.group + standard.n_head + standard.norm_rows == 0);
}

TEST_CASE("a pass with the user's layers takes the planned scratch") {
  Config c = tiny_config();
  ForeignModel m(c, cpu::Backend(2));
  fill_weights(m);
  const PassSize size = m.layers().pass_size(tiny_batch, tiny_time);
  cpu::reserve<float>(m.backend(), m.config(), size);
  const std::size_t reserved = m.backend().scratch_bytes();
  auto work = m.workspace(tiny_batch, tiny_time, Mode::train);
  auto gradients = m.make_gradients();
  m.loss_and_gradients(work, tiny_ids.data(), {tiny_labels.data()}, gradients, tiny_pass<float>(true));
  CHECK(m.backend().scratch_bytes() == reserved);
}

TEST_CASE("initial values of parameters") {
  ScalingModel m(tiny_config());
  m.initialize(1);
  int found = 0;
  for (const ParameterInfo& p : m.parameters()) {
    if (p.is_matrix()) continue;
    double sum = 0, squares = 0;
    for (std::int64_t i = 0; i < p.size; ++i) sum += m.weights().at(p)[i], squares += std::abs(m.weights().at(p)[i]);
    const double n = double(p.size);
    found += p.name.ends_with(".ones") && sum == n;
    found += p.name.ends_with(".zeros") && squares == 0;
    found += p.name.ends_with(".normal") && squares > 0 && squares < n * 0.1;
  }
  CHECK(found == 3 * m.config().n_layer);
  CHECK(m.layers().list().front().init == Init::normal);
}

TEST_CASE("half blocks without matrices") {
  ScalingModel m(tiny_config());
  m.initialize(1);
  auto work = m.workspace(tiny_batch, tiny_time, Mode::train);
  auto gradients = m.make_gradients();
  std::vector<Unit> ready;
  m.loss_and_gradients(work, tiny_ids.data(), {tiny_labels.data()}, gradients, tiny_pass<float>(false),
                       [&](Unit unit) { ready.push_back(unit); });
  CHECK(ready.size() == std::size_t(m.layers().half_blocks()) + 1);
  const auto begins = m.layers().all_unit_begins();
  CHECK(begins[2].begin == begins[3].begin);  // no matrices in the first MLP
}
