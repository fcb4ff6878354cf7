#include <string>

#include "backend/user_activations.hpp"
#include "check_model.hpp"
#include "io/expect_error.hpp"
#include "moderngpt2/backend/register_activation.hpp"
#include "moderngpt2/model/blocks.hpp"

using namespace moderngpt2;
using namespace moderngpt2::test;

namespace {

/// Language model whose type contains the activation.
template <class A>
struct LanguageOf : Language {
  template <class B, class P>
  using Model = CausalLM<any_shape, B, P, Blocks<Standard, GatedMlpWith<A>>>;
};

template <class Precision>
void check_equal_to_run_time(const Config& c) {
  CausalLM<any_shape, cpu::Backend, Precision> run_time(c, cpu::Backend(2));
  CausalLM<any_shape, cpu::Backend, Precision, Blocks<Standard, GatedMlpWith<StarRelu>>> functor(c, cpu::Backend(2));
  fill_weights(run_time);
  fill_weights(functor);
  const auto want = step<Language>(run_time, true);
  const auto got = step<LanguageOf<StarRelu>>(functor, true);
  CHECK(got.loss == want.loss);
  CHECK(same_bits(got.gradients, want.gradients));
}

}  // namespace

TEST_CASE("language model with a registered activation: gradients") {
  Config c = tiny_config();
  c.activation = register_activation<Snake>();
  check_model<Language>(c, true);
}

TEST_CASE("language model of an activation functor: gradients, and the bits of the registered activation") {
  Config c = tiny_config();
  c.activation = register_activation<Snake>();
  check_model<LanguageOf<Snake>>(c, true);
  c.activation = register_activation<StarRelu>();
  check_equal_to_run_time<Fp32>(c);
  check_equal_to_run_time<Bf16>(c);
}

TEST_CASE("a model of an activation functor refuses a config with another activation") {
  using Model = CausalLM<any_shape, cpu::Backend, Fp32, Blocks<Standard, GatedMlpWith<StarRelu>>>;
  Config c = tiny_config();
  CHECK_ERROR(Model(c), "built for activation_function star_relu, the config says gelu_pytorch_tanh");
  c.activation = register_activation<StarRelu>();
  CHECK(Model::parameter_count(c) == CausalLM<any_shape>::parameter_count(tiny_config()));
}
