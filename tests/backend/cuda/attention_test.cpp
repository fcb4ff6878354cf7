#define MODERNGPT2_CASES_ON_CUDA 1

#include <vector>

#include <doctest/doctest.h>

#include "backend/cases/attention.hpp"
#include "backend/cuda/check_cuda_case.hpp"

using namespace moderngpt2;

namespace {

/// Times over the borders of the GPU's tiles (64 queries, 64 or 32 keys), every head_dim that has a kernel and some
/// that have not, and all that masks. Few and small: the simulated GPU is slow.
std::vector<cases::AttentionOptions> gpu_attention_options() {
  std::vector<cases::AttentionOptions> table;
  for (int time : {1, 2, 63, 64, 65, 130})
    table.push_back({.time = time, .n_head = 2, .n_kv_head = 1, .head_dim = 8, .extra_columns = 0});
  for (int head_dim : {2, 10, 32, 34, 64, 80, 96, 128, 256})
    table.push_back({.time = 40, .n_head = 1, .n_kv_head = 1, .head_dim = head_dim, .extra_columns = 0});
  table.push_back({.batch = 2, .time = 37, .n_head = 6, .n_kv_head = 2, .head_dim = 16, .softcap = 1.5});
  table.push_back({.time = 70, .n_head = 2, .n_kv_head = 2, .head_dim = 64, .softcap = 3, .dropout = 0.5});
  for (int window : {1, 5, 64, 100})
    table.push_back({.time = 150, .n_head = 1, .n_kv_head = 1, .head_dim = 8, .window = window});
  table.push_back({.batch = 3, .time = 6, .n_head = 2, .n_kv_head = 1, .head_dim = 8, .key_mask = true});
  table.push_back({.batch = 3, .time = 80, .n_head = 2, .n_kv_head = 1, .head_dim = 8, .key_mask = true});
  table.push_back({.time = 150, .n_head = 1, .n_kv_head = 1, .head_dim = 8, .documents = true});
  table.push_back({.batch = 3,
                   .time = 80,
                   .n_head = 2,
                   .n_kv_head = 1,
                   .head_dim = 16,
                   .softcap = 3,
                   .window = 50,
                   .key_mask = true,
                   .documents = true,
                   .dropout = 0.5});
  return table;
}

}  // namespace

TEST_CASE("attention on the GPU") {
  std::vector<cases::Case> table;
  for (const cases::AttentionOptions& o : gpu_attention_options()) table.push_back(cases::attention_case(o));
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

TEST_CASE("attention_backward on the GPU") {
  std::vector<cases::Case> table;
  for (const cases::AttentionOptions& o : gpu_attention_options()) table.push_back(cases::attention_backward_case(o));
  // The output that the backward pass takes is rounded too, and so are the sums of queries that see only padding.
  test::check_cuda_cases(table, 4e-2, 4e-3);
}
