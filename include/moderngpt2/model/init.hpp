#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "moderngpt2/config/config.hpp"
#include "moderngpt2/core/parallel.hpp"
#include "moderngpt2/core/random.hpp"
#include "moderngpt2/core/scalar.hpp"
#include "moderngpt2/model/parameters.hpp"

namespace moderngpt2 {

/// Matrices N(0, initializer_range), or that over sqrt(2 n_layer) where a half block ends (Radford et al. 2019);
/// norms and biases 0. Each tensor has numbers of its own, keyed by (seed, place in the list).
template <class E>
void initialize(ParameterPlaces<E> weights, const std::vector<ParameterInfo>& table, const Config& c,
                std::uint64_t seed, int threads = 1) {
  using M = typename E::MatrixType;
  using V = typename E::VectorType;
  for (std::size_t i = 0; i < table.size(); ++i) {
    const ParameterInfo& p = table[i];
    if (!p.is_matrix()) {
      for (std::int64_t j = 0; j < p.size; ++j) weights.vectors[p.offset + j] = V(0);
      continue;
    }
    const double deviation = c.initializer_range / (p.init == Init::scaled_normal ? std::sqrt(2.0 * c.n_layer) : 1.0);
    const std::uint64_t key = random_key(seed, RandomUse::init, 0, i);
    const auto rounded = [&](double number) { return M(compute_t<M>(deviation * number)); };
    M* const first = weights.matrices + p.offset;
    parallel_ranges(threads, (p.size + 1) / 2, 4096, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t pair = begin; pair < end; ++pair) {
        const auto numbers = normal_pair(key, std::uint64_t(pair));
        first[2 * pair] = rounded(numbers[0]);
        if (2 * pair + 1 < p.size) first[2 * pair + 1] = rounded(numbers[1]);
      }
    });
  }
}

}  // namespace moderngpt2
