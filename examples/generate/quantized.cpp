// The part of `generate` that reads quantized weights: a file of its own, so that builds are parallel.

#include <string>
#include <utility>
#include <vector>

#include "modes.hpp"

namespace moderngpt2::generate_program {

void run_quantized(const Tokenizer& tokenizer, const GenerateFlags& flags, const std::vector<std::string>& prompts,
                   cpu::Backend backend) {
  with_quantized(*flags.weights, [&]<class Precision>(Precision) {
    using M = CausalLM<any_shape, cpu::Backend, Precision>;
    run<M>(tokenizer, flags, prompts, std::move(backend));
  });
}

}  // namespace moderngpt2::generate_program
