#define MODERNGPT2_CASES_ON_CUDA 1

#include <vector>

#include <doctest/doctest.h>

#include "backend/cuda/attention_options.hpp"
#include "backend/cuda/check_cuda_case.hpp"

using namespace moderngpt2;

TEST_CASE("attention_backward on the GPU") {
  std::vector<cases::Case> table;
  for (const cases::AttentionOptions& o : cases::gpu_attention_options())
    table.push_back(cases::attention_backward_case(o));
  test::check_cuda_cases(table);
}
