#define MODERNGPT2_CASES_ON_CUDA 1

#include <doctest/doctest.h>

#include "backend/cases/gather.hpp"
#include "backend/cuda/check_cuda_case.hpp"

using namespace moderngpt2;

TEST_CASE("gather and scatter on the GPU") { test::check_cuda_cases(cases::gather_cases()); }
