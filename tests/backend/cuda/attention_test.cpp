#define MODERNGPT2_CASES_ON_CUDA 1

#include <vector>

#include <doctest/doctest.h>

#include "backend/cuda/attention_options.hpp"
#include "backend/cuda/check_cuda_case.hpp"

using namespace moderngpt2;

TEST_CASE("attention on the GPU") {
  std::vector<cases::Case> table;
  for (const cases::AttentionOptions& o : cases::gpu_attention_options()) table.push_back(cases::attention_case(o));
  for (int past : {1, 63, 130})
    for (int time : {1, 5, 70}) {
      cases::AttentionOptions o{
          .batch = 2, .time = time, .past = past, .extra_key_rows = 7, .n_head = 2, .n_kv_head = 1, .head_dim = 16};
      table.push_back(cases::attention_case(o));
      o.softcap = 2, o.window = 80, o.key_mask = o.documents = true;
      table.push_back(cases::attention_case(o));
    }
  table.push_back(cases::attention_case(
      {.time = 20, .past = 50, .n_head = 2, .n_kv_head = 1, .head_dim = 16, .dropout = 0.5, .saves = false}));
  test::check_cuda_cases(table);
}

TEST_CASE("attention of one new token per sequence on the GPU") {
  std::vector<cases::Case> table;
  for (int past : {1, 63, 64, 150})
    for (int head_dim : {8, 34, 64}) {
      cases::AttentionOptions o{.batch = 2,
                                .past = past,
                                .extra_key_rows = 70,
                                .n_head = 3,
                                .n_kv_head = 1,
                                .head_dim = head_dim,
                                .saves = false,
                                .extra_columns = head_dim == 8 ? 3 : 0};
      table.push_back(cases::attention_case(o));
      o.unequal = true, o.batch = 3;
      table.push_back(cases::attention_case(o));
      o.softcap = 2, o.window = 80, o.documents = true;
      table.push_back(cases::attention_case(o));
      o.unequal = false, o.batch = 2;
      table.push_back(cases::attention_case(o));
    }
  for (int head_dim : {80, 128, 256})
    table.push_back(cases::attention_case(
        {.past = 70, .n_head = 12, .n_kv_head = 2, .head_dim = head_dim, .saves = false, .extra_columns = 0}));
  table.push_back(cases::attention_case(
      {.batch = 3, .past = 90, .n_head = 2, .n_kv_head = 1, .head_dim = 16, .key_mask = true, .saves = false}));
  test::check_cuda_cases(table);
}
