#pragma once

#include <cstddef>
#include <random>

namespace moderngpt2::test {

/// Random choices for tests; a seed gives the same choices on every machine.
class Dice {
 public:
  explicit Dice(unsigned seed) : random_(seed) {}
  std::size_t below(std::size_t n) { return random_() % n; }
  bool one_in(std::size_t n) { return below(n) == 0; }
  template <class List>
  const auto& pick(const List& list) {
    return list[below(list.size())];
  }

 private:
  std::mt19937 random_;
};

}  // namespace moderngpt2::test
