#include "moderngpt2/backend/cpu.hpp"

namespace moderngpt2::cpu {
MODERNGPT2_CPU_OPERATIONS(template, bf16)
}  // namespace moderngpt2::cpu
