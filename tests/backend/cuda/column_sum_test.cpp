#define MODERNGPT2_CASES_ON_CUDA 1

#include <doctest/doctest.h>

#include "backend/cases/column_sum.hpp"
#include "backend/cuda/check_cuda_case.hpp"

using namespace moderngpt2;

TEST_CASE("column_sum on the GPU") { test::check_cuda_cases(cases::column_sum_cases()); }
