#include <array>

#include "check_model.hpp"

using namespace moderngpt2;
using namespace moderngpt2::test;

TEST_CASE("language model: gradients, tied and untied, with and without dropout") {
  Config c = tiny_config();
  for (bool training : {false, true})
    for (bool tied : {true, false}) {
      c.tied_head = tied;
      check_model<Language>(c, training);
    }
}

TEST_CASE("language model with sliding windows in some layers") {
  Config c = tiny_config();
  c.n_layer = 3, c.sliding_window = 2;
  c.layer_types = LayerTypes(std::array{AttentionType::full, AttentionType::sliding, AttentionType::sliding});
  check_model<Language>(c, false);
}

TEST_CASE("language model without optional parts") {
  Config c = tiny_config();
  c.attention_bias = false;
  c.attn_logit_softcapping.reset(), c.final_logit_softcapping.reset(), c.query_pre_attn_scalar.reset();
  c.sliding_window = 0;
  c.n_kv_head = 4, c.n_layer = 1, c.activation = Activation::silu;
  check_model<Language>(c, false);
}
