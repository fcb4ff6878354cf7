#pragma once

#include <vector>

#include "backend/cases/attention.hpp"

namespace moderngpt2::cases {

/// Lengths around multiples of the tiles (64 queries, 64 or 32 keys), head_dims with a kernel of their own and others,
/// and all kinds of masks. Few and small, since the simulated GPU is slow.
inline std::vector<AttentionOptions> gpu_attention_options() {
  std::vector<AttentionOptions> table;
  for (int time : {1, 2, 63, 64, 65, 130})
    table.push_back({.time = time, .n_head = 2, .n_kv_head = 1, .head_dim = 8, .extra_columns = 0});
  for (int head_dim : {2, 10, 32, 34, 64, 80, 96, 128, 256})
    table.push_back(
        {.time = head_dim < 256 ? 70 : 40, .n_head = 1, .n_kv_head = 1, .head_dim = head_dim, .extra_columns = 0});
  for (int head_dim : {96, 128, 256})
    table.push_back(
        {.time = 37, .n_head = 2, .n_kv_head = 1, .head_dim = head_dim, .dropout = 0.25, .extra_columns = 0});
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

}  // namespace moderngpt2::cases
