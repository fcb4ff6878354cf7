#include <cmath>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/backend/cuda.hpp"

// Compiled with -ffp-contract=fast, which contracts products and sums to FMAs, as nvcc does. Other test programs round
// products first.

using namespace moderngpt2;

namespace {

/// Largest error of the log-sum-exps of 64 queries that see 1985 to 2048 keys, relative to the bound. Scores begin at
/// `score` and rise by `rise` with each tile of 64 keys. Bound: the rounding of the log-sum-exp, as much again, and 2
/// ulp for the exponential by which the sum is multiplied with each tile.
double lse_error(float score, float rise) {
  constexpr int head_dim = 32, queries = 64, past = 1984, keys = past + queries;
  std::vector<bf16> q(queries * head_dim), kv(keys * head_dim);
  for (int t = 0; t < queries; ++t) q[std::size_t(t * head_dim)] = q[std::size_t(t * head_dim + 1)] = bf16(1.0f);
  for (int u = 0; u < keys; ++u) {
    kv[std::size_t(u * head_dim)] = bf16(score);
    kv[std::size_t(u * head_dim + 1)] = bf16(rise * float(u / 64));
  }
  cuda::Backend b;
  const cuda::DeviceArray<bf16> q_there(queries * head_dim), kv_there(keys * head_dim), o(queries * head_dim);
  const cuda::DeviceArray<float> lse(queries);
  cuda::copy(b.stream(), q_there.data(), static_cast<const bf16*>(q.data()), queries * head_dim);
  cuda::copy(b.stream(), kv_there.data(), static_cast<const bf16*>(kv.data()), keys * head_dim);
  const Rows<const bf16> both(kv_there.data(), keys, head_dim);
  const AttentionCall call{.batch = 1,
                           .time = queries,
                           .past = past,
                           .key_rows = keys,
                           .n_head = 1,
                           .n_kv_head = 1,
                           .head_dim = head_dim,
                           .dropout = {}};
  attention(b, Rows<bf16>(o.data(), queries, head_dim), lse.data(), Rows<const bf16>(q_there.data(), queries, head_dim),
            both, both, call);
  std::vector<float> got(queries);
  cuda::copy(b.stream(), got.data(), static_cast<const float*>(lse.data()), queries);
  b.synchronize();
  double worst = 0, sum = 0;
  for (int u = 0; u < keys; ++u) {
    sum += std::exp(double(rise) * (u / 64));
    if (u < past) continue;
    const double want = double(score) + std::log(sum);
    const double limit = std::ldexp(std::abs(want), -23) + std::ldexp(keys / 64.0, -22);
    worst = std::max(worst, std::abs(double(got[std::size_t(u - past)]) - want) / limit);
  }
  return worst;
}

}  // namespace

TEST_CASE("log-sum-exps of large scores do not drift with the number of keys where products are not rounded") {
  double worst = 0;
  for (const float score : {3.0f, 31.0f, 100.0f, 127.0f, 288.0f, -288.0f, 508.0f, 1000.0f})
    for (const float rise : {0.0f, 0.015625f, 0.25f}) {
      CAPTURE(score);
      CAPTURE(rise);
      const double error = lse_error(score, rise);
      CHECK(error < 1);
      worst = std::max(worst, error);
    }
  MESSAGE("worst error ", worst, " of what it may be");
}
