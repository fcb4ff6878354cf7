#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "moderngpt2/core/dtype.hpp"
#include "moderngpt2/distributed/communicator.hpp"

namespace moderngpt2::distributed {

template <class E>
std::string check_reductions(CommunicatorBase& ranks, std::int64_t count) {
  const int n = ranks.size(), me = ranks.rank();
  const auto value = [](std::int64_t i, int rank) { return E(i % 101 + 7 * rank * (i % 3 + 1)); };
  const std::size_t length = std::size_t(count);
  std::vector<E> scattered(length * std::size_t(n)), sums(length), largest(length);
  for (std::int64_t i = 0; i < n * count; ++i) scattered[std::size_t(i)] = value(i, me);
  for (std::int64_t i = 0; i < count; ++i) sums[std::size_t(i)] = largest[std::size_t(i)] = value(i, me);
  Request a = ranks.reduce_scatter(scattered.data(), count, "reduce-scatter");
  Request b = ranks.all_reduce(sums.data(), count, ReduceOp::sum, "sum");
  Request c = ranks.all_reduce(largest.data(), count, ReduceOp::max, "max");
  c.wait();
  while (!a.done()) {
  }
  b.wait();
  for (std::int64_t i = 0; i < count; ++i) {
    E sum = 0, slice_sum = 0;
    for (int r = 0; r < n; ++r) sum += value(i, r), slice_sum += value(me * count + i, r);
    if (scattered[std::size_t(me * count + i)] != slice_sum) return "reduce-scatter at " + std::to_string(i);
    if (sums[std::size_t(i)] != sum) return "sum at " + std::to_string(i);
    if (largest[std::size_t(i)] != value(i, n - 1)) return "max at " + std::to_string(i);
  }
  return "";
}

template <class E>
std::string check_copies(CommunicatorBase& ranks, std::int64_t count) {
  const int n = ranks.size(), me = ranks.rank();
  const auto value = [](std::int64_t i) { return E(float(i % 101)); };
  std::vector<E> all(std::size_t(n * count), E(200.0f)), sent(std::size_t(count), E(200.0f));
  for (std::int64_t i = me * count; i < (me + 1) * count; ++i) all[std::size_t(i)] = value(i);
  const int root = n - 1;
  if (me == root)
    for (std::int64_t i = 0; i < count; ++i) sent[std::size_t(i)] = value(i);
  Request a = ranks.all_gather(all.data(), count, "all-gather");
  Request b = ranks.broadcast(sent.data(), count, root, "broadcast");
  b.wait();
  a.wait();
  for (std::int64_t i = 0; i < n * count; ++i)
    if (float(all[std::size_t(i)]) != float(value(i))) return "all-gather at " + std::to_string(i);
  for (std::int64_t i = 0; i < count; ++i)
    if (float(sent[std::size_t(i)]) != float(value(i))) return "broadcast at " + std::to_string(i);
  return "";
}

/// Checks every collective and element type on small integers, whose sums are exact. Issues several at a time and waits
/// for them in another order. Returns a description of the first error, or "". For communicators of host memory.
inline std::string check_collectives(CommunicatorBase& ranks) {
  for (const std::int64_t count : {0, 1, 5, 1000}) {
    for (const std::string& wrong : {check_reductions<float>(ranks, count), check_reductions<double>(ranks, count),
                                     check_copies<float>(ranks, count), check_copies<bf16>(ranks, count),
                                     check_copies<std::uint8_t>(ranks, count)})
      if (!wrong.empty()) return wrong + " of " + std::to_string(count) + " elements";
  }
  std::int64_t least = 10 - ranks.rank(), sum = ranks.rank() + (std::int64_t(1) << 60);
  ranks.all_reduce(&least, 1, ReduceOp::min, "min of integers").wait();
  ranks.all_reduce(&sum, 1, ReduceOp::sum, "sum of integers").wait();
  if (least != 11 - ranks.size()) return "min of integers";
  const std::int64_t n = ranks.size();
  if (sum != (n << 60) + n * (n - 1) / 2) return "sum of integers";
  ranks.barrier("end of the checks");
  return "";
}

}  // namespace moderngpt2::distributed
