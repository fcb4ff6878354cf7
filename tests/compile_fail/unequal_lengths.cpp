// error: sequences of unequal lengths need an attention layer that reads Pass::pasts
#include "moderngpt2/backend/cpu.hpp"
#include "moderngpt2/generation/batch_generator.hpp"
#include "moderngpt2/model/heads.hpp"

using namespace moderngpt2;

/// Attention that reads only Pass::past.
struct EqualLengths : GroupedQueryAttention<dynamic, dynamic, dynamic, dynamic> {
  using GroupedQueryAttention::GroupedQueryAttention;
#ifndef CONTROL
  static constexpr bool reads_pasts = false;
#endif
};

int main() {
  CausalLM<any_shape, cpu::Backend, Fp32, Blocks<EqualLengths>> model{Config{}};
  BatchGenerator texts(model);
  return texts.step();
}
