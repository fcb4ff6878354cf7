#define MODERNGPT2_INSTANTIATE_TEMPLATES
#include "moderngpt2/backend/cpu.hpp"

namespace moderngpt2::cpu {
MODERNGPT2_CPU_OPERATIONS(template, float)
}  // namespace moderngpt2::cpu
