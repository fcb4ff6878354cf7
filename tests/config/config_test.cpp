#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/config/config.hpp"
#include "moderngpt2/config/presets.hpp"
#include "support/count_members.hpp"

using namespace moderngpt2;

namespace {

std::string message(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

struct Fault {
  std::string field;
  std::function<void(Config&)> plant;
};

}  // namespace

TEST_CASE("shape concepts") {
  static_assert(KvHeadsDivideHeads<12, 4> && KvHeadsDivideHeads<12, 12> && KvHeadsDivideHeads<12, 1>);
  static_assert(!KvHeadsDivideHeads<6, 4> && !KvHeadsDivideHeads<4, 8> && !KvHeadsDivideHeads<4, 0>);
  static_assert(KvHeadsDivideHeads<dynamic, 4> && KvHeadsDivideHeads<6, dynamic>);
  static_assert(RotaryNeedsEvenHeadDim<64> && RotaryNeedsEvenHeadDim<2> && RotaryNeedsEvenHeadDim<dynamic>);
  static_assert(!RotaryNeedsEvenHeadDim<63> && !RotaryNeedsEvenHeadDim<0>);
}

TEST_CASE("presets are GPT-2's sizes") {
  static_assert(preset_config("small")->n_layer == 12 && small_config.n_embd == 768 && small_config.n_head == 12);
  static_assert(medium_config.n_layer == 24 && medium_config.n_embd == 1024 && medium_config.n_head == 16);
  static_assert(large_config.n_layer == 36 && large_config.n_embd == 1280 && large_config.n_head == 20);
  static_assert(xl_config.n_layer == 48 && xl_config.n_embd == 1600 && xl_config.n_head == 25);
  static_assert(!preset_config("huge"));
  for (const Preset& p : presets) {
    CHECK(p.config.head_dim == 64);
    CHECK(p.config.n_inner == 4 * p.config.n_embd);
    CHECK(p.config.n_kv_head == p.config.n_head);
    CHECK(p.config.query_scale() == 0.125);
    CHECK_NOTHROW(validate(p.config));
  }
  static_assert(small_shape.n_inner == 3072 && small_shape.attention_bias == Toggle::off &&
                small_shape.tied_head == Toggle::on);
  static_assert(small_config.query_width() == 768 && small_config.kv_width() == 768);
}

TEST_CASE("query scale") {
  Config c;
  CHECK(c.query_scale() == 0.125);
  c.query_pre_attn_scalar = 0.3;
  CHECK(c.query_scale() == 0.3);
}

TEST_CASE("validate names the field that is wrong") {
  const double nan = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();
  std::vector<Fault> faults;
  auto integers = [&](std::string field, int Config::*member) {
    for (int bad : {0, -1, std::numeric_limits<int>::min(), std::numeric_limits<int>::max()})
      faults.push_back({field, [=](Config& c) { c.*member = bad; }});
  };
  integers("vocab_size", &Config::vocab_size);
  integers("n_positions", &Config::n_positions);
  integers("n_embd", &Config::n_embd);
  integers("n_layer", &Config::n_layer);
  integers("n_head", &Config::n_head);
  integers("num_key_value_heads", &Config::n_kv_head);
  integers("head_dim", &Config::head_dim);
  integers("intermediate_size", &Config::n_inner);
  integers("num_labels", &Config::num_labels);
  auto reals = [&](std::string field, double Config::*member, std::vector<double> bad) {
    for (double b : bad) faults.push_back({field, [=](Config& c) { c.*member = b; }});
  };
  for (auto [field, member] : {std::pair{"resid_pdrop", &Config::resid_pdrop},
                               {"embd_pdrop", &Config::embd_pdrop},
                               {"attn_pdrop", &Config::attn_pdrop},
                               {"classifier_dropout", &Config::classifier_dropout},
                               {"summary_first_dropout", &Config::summary_first_dropout}})
    reals(field, member, {-0.1, 1.0, 2.0, nan, infinity});
  reals("rms_norm_eps", &Config::rms_norm_eps, {-1e-9, nan, infinity});
  reals("rope_theta", &Config::rope_theta, {0, -1, nan, infinity});
  reals("rope_scaling factor", &Config::rope_scaling_factor, {0, -1, nan, infinity});
  reals("initializer_range", &Config::initializer_range, {-1, nan, infinity});
  auto optionals = [&](std::string field, std::optional<double> Config::*member) {
    for (double b : {0.0, -1.0, nan, infinity}) faults.push_back({field, [=](Config& c) { c.*member = b; }});
  };
  optionals("query_pre_attn_scalar", &Config::query_pre_attn_scalar);
  optionals("attn_logit_softcapping", &Config::attn_logit_softcapping);
  optionals("final_logit_softcapping", &Config::final_logit_softcapping);
  faults.push_back({"num_key_value_heads 5", [](Config& c) { c.n_kv_head = 5; }});
  faults.push_back({"head_dim 63", [](Config& c) { c.head_dim = 63; }});
  faults.push_back({"n_layer", [](Config& c) { c.n_layer = 100'001; }});
  for (int bad : {-1, std::numeric_limits<int>::min(), std::numeric_limits<int>::max()})
    faults.push_back({"sliding_window", [=](Config& c) { c.sliding_window = bad; }});
  faults.push_back({"beyond any model", [](Config& c) { c.n_head = c.n_kv_head = 1 << 20, c.head_dim = 1 << 20; }});
  faults.push_back({"intermediate_size make", [](Config& c) { c.n_embd = c.n_inner = 1 << 27, c.n_layer = 100'000; }});
  faults.push_back({"activation_function", [](Config& c) { c.activation = Activation::dynamic; }});
  faults.push_back({"activation_function is 99", [](Config& c) { c.activation = Activation(99); }});
  for (const Fault& fault : faults) {
    Config c;
    fault.plant(c);
    const std::string m = message([&] { validate(c); });
    CHECK_MESSAGE(m.starts_with("config: "), m);
    CHECK_MESSAGE(m.find(fault.field) != std::string::npos, fault.field, " in: ", m);
    CHECK(m.find('\n') == std::string::npos);
  }
  CHECK_NOTHROW(validate(Config{}));
  Config edge;
  edge.rms_norm_eps = 0, edge.resid_pdrop = 0, edge.initializer_range = 0, edge.n_kv_head = 1;
  CHECK_NOTHROW(validate(edge));
}

TEST_CASE("no field of the config is forgotten in its description") {
  CHECK(test::count_rows<Config>() == test::count_members<Config>());
}

TEST_CASE("require_match names the field and both values") {
  constexpr ModelShape shape = shape_of(small_config);
  CHECK_NOTHROW(require_match<shape>(small_config));
  CHECK_NOTHROW(require_match<any_shape>(xl_config));
  auto refusal = [&](auto change) {
    Config c = small_config;
    change(c);
    return message([&] { require_match<shape>(c); });
  };
  CHECK(refusal([](Config& c) { c.n_layer = 13; }) == "this model is built for n_layer 12, the config says 13");
  CHECK(refusal([](Config& c) { c.n_embd = 770; }) == "this model is built for n_embd 768, the config says 770");
  CHECK(refusal([](Config& c) { c.n_head = 24; }) == "this model is built for n_head 12, the config says 24");
  CHECK(refusal([](Config& c) { c.n_kv_head = 4; }) ==
        "this model is built for num_key_value_heads 12, the config says 4");
  CHECK(refusal([](Config& c) { c.head_dim = 32; }) == "this model is built for head_dim 64, the config says 32");
  CHECK(refusal([](Config& c) { c.n_inner = 7; }) ==
        "this model is built for intermediate_size 3072, the config says 7");
  CHECK(refusal([](Config& c) { c.activation = Activation::relu; }) ==
        "this model is built for activation_function gelu_pytorch_tanh, the config says relu");
  CHECK(refusal([](Config& c) { c.attention_bias = true; }) ==
        "this model is built for attention_bias false, the config says true");
  CHECK(refusal([](Config& c) { c.tied_head = false; }) ==
        "this model is built for tie_word_embeddings true, the config says false");
}

TEST_CASE("activation names go both ways, with aliases") {
  for (int i = 0; i <= int(Activation::sigmoid); ++i) {
    const auto a = Activation(i);
    CHECK(activation_from_name(activation_name(a)) == a);
  }
  CHECK(activation_from_name("gelu_new") == Activation::gelu_tanh);
  CHECK(activation_from_name("gelu_fast") == Activation::gelu_tanh);
  CHECK(activation_from_name("swish") == Activation::silu);
  CHECK(activation_from_name("gelu") == Activation::gelu);
  CHECK_FALSE(activation_from_name("dynamic"));
  CHECK_FALSE(activation_from_name("GELU"));
  CHECK_FALSE(activation_from_name(""));
}
