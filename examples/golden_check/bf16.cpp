// bf16 part of `golden_check`, a separate file for parallel builds.

#include "moderngpt2/testing/golden.hpp"

using namespace moderngpt2;

template golden::Results golden::run<any_shape, cpu::Backend, Bf16>(const golden::Case&, cpu::Backend);
