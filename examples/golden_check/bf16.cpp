// The part of `golden_check` that computes in bf16: a file of its own, so that builds are parallel.

#include "moderngpt2/testing/golden.hpp"

using namespace moderngpt2;

template golden::Results golden::run<any_shape, cpu::Backend, Bf16>(const golden::Case&, cpu::Backend);
