#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "moderngpt2/config/config.hpp"
#include "moderngpt2/core/random.hpp"
#include "moderngpt2/model/parameters.hpp"

namespace moderngpt2 {

/// Matrices N(0, initializer_range), or that over sqrt(2 n_layer) where a half block ends (Radford et al. 2019);
/// norms and biases 0. Each tensor has numbers of its own, keyed by (seed, place in the list).
template <class E>
void initialize(ParameterBuffers<E>& weights, const std::vector<ParameterInfo>& table, const Config& c, std::uint64_t seed) {
  using M = typename E::MatrixType;
  using V = typename E::VectorType;
  for (std::size_t i = 0; i < table.size(); ++i) {
    const ParameterInfo& p = table[i];
    if (!p.is_matrix()) {
      for (std::int64_t j = 0; j < p.size; ++j) weights.vectors[p.offset + j] = V(0);
      continue;
    }
    const double deviation =
        c.initializer_range / (p.init == Init::scaled_normal ? std::sqrt(2.0 * c.n_layer) : 1.0);
    const std::uint64_t key = random_key(seed, RandomUse::init, 0, i);
    for (std::int64_t j = 0; j < p.size; ++j)
      weights.matrices[p.offset + j] = M(deviation * normal_at(key, std::uint64_t(j)));
  }
}

}  // namespace moderngpt2
