// The part of `generate` that computes in bf16: a file of its own, so that builds are parallel.

#include "modes.hpp"

namespace moderngpt2::generate_program {

template void run<CausalLMInBf16>(const Tokenizer&, const GenerateFlags&, const std::vector<std::string>&,
                                  cpu::Backend);

}  // namespace moderngpt2::generate_program
