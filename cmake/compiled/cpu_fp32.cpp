#include "moderngpt2/backend/cpu.hpp"
#include "moderngpt2/generation/sampler.hpp"

template class moderngpt2::Sampler<float>;

namespace moderngpt2::cpu {
MODERNGPT2_CPU_OPERATIONS(template, float)
}  // namespace moderngpt2::cpu
