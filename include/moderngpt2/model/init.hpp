#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "moderngpt2/backend/host.hpp"
#include "moderngpt2/config/config.hpp"
#include "moderngpt2/core/parallel.hpp"
#include "moderngpt2/core/random.hpp"
#include "moderngpt2/core/scalar.hpp"
#include "moderngpt2/model/parameters.hpp"

namespace moderngpt2 {

/// Initializes elements [first, first + count) of a parameter as its Init says. `number` is its index in the list of
/// parameters: random numbers are a function of (seed, number, element), so that any range of any parameter can be
/// initialized alone.
template <class M>
void initialize_elements(M* to, const ParameterInfo& p, std::size_t number, std::int64_t first, std::int64_t count,
                         const Config& c, std::uint64_t seed, int threads = 1) {
  if (p.init == Init::zeros || p.init == Init::ones) {
    std::fill_n(to, count, M(compute_t<M>(p.init == Init::ones)));
    return;
  }
  const double deviation = c.initializer_range / (p.init == Init::scaled_normal ? std::sqrt(2.0 * c.n_layer) : 1.0);
  const std::uint64_t key = random_key(seed, RandomUse::init, 0, number);
  const std::int64_t first_pair = first / 2, pairs = (first + count + 1) / 2 - first_pair;
  parallel_ranges(threads, pairs, 4096, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t pair = first_pair + begin; pair < first_pair + end; ++pair) {
      const auto numbers = normal_pair(key, std::uint64_t(pair));
      for (std::int64_t half = 0; half < 2; ++half) {
        const std::int64_t i = 2 * pair + half - first;
        if (i >= 0 && i < count) to[i] = M(compute_t<M>(deviation * numbers[std::size_t(half)]));
      }
    }
  });
}

/// Initializes all parameters with initialize_elements().
template <class B, class E>
void initialize(B& b, ParameterPlaces<E> weights, const std::vector<ParameterInfo>& table, const Config& c,
                std::uint64_t seed) {
  for (std::size_t i = 0; i < table.size(); ++i) {
    const ParameterInfo& p = table[i];
    weights.visit(p, [&](auto parameter) {
      if constexpr (requires { *parameter; })
        if (p.init == Init::zeros) return fill(b, parameter, p.size, std::remove_reference_t<decltype(*parameter)>(0));
      write_parameter(b, parameter, p, [&](std::int64_t first, std::int64_t n, auto* to) {
        initialize_elements(to, p, i, first, n, c, seed, host_threads(b));
      });
    });
  }
}

}  // namespace moderngpt2
