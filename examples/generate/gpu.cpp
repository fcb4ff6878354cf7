// The part of `generate` that runs on a GPU. Empty in builds without CUDA.

#if defined(MODERNGPT2_HAVE_CUDA) || defined(MODERNGPT2_CUDA_SIMULATED)

#include <string>
#include <utility>

#include "moderngpt2/backend/cuda.hpp"
#include "modes.hpp"

namespace moderngpt2::generate_program {

void require_gpu(const GenerateFlags&) {}

void run_on_gpu(const Tokenizer& tokenizer, const GenerateFlags& flags, const std::vector<std::string>& prompts,
                PrecisionName precision, int gpu) {
  cuda::Backend backend(gpu);
  backend.use_tf32(precision == PrecisionName::tf32);
  if (const std::string names = host_memory_options(flags.settings); !names.empty())
    note("tokens are chosen on the CPU, because of " + names);
  with_precision(precision, [&]<class Precision>(Precision) {
    run<CausalLM<any_shape, cuda::Backend, Precision>>(tokenizer, flags, prompts, std::move(backend));
  });
}

}  // namespace moderngpt2::generate_program

#endif
