#define MODERNGPT2_CASES_ON_CUDA 1

#include <doctest/doctest.h>

#include "backend/cases/rotary.hpp"
#include "backend/cuda/check_cuda_case.hpp"

using namespace moderngpt2;

TEST_CASE("rotary on the GPU") { test::check_cuda_cases(cases::rotary_cases()); }
