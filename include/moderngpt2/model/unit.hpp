#pragma once

#include <compare>
#include <cstdint>

namespace moderngpt2 {

/// Identifies a part of a model whose weights are used together: the embedding, a half block (attention or MLP with its
/// norms), or the final norm with the head. Units compare in the order of a forward pass. A default-constructed Unit is
/// none of them and compares less than all others.
class Unit {
 public:
  constexpr Unit() = default;
  static constexpr Unit embedding() { return Unit(0); }
  /// Half block k, counted from 0: attention of block k / 2 for even k, its MLP for odd k.
  static constexpr Unit half_block(int k) { return Unit(1 + k); }
  /// The head of a model of `half_blocks` half blocks.
  static constexpr Unit head(int half_blocks) { return Unit(1 + half_blocks); }

  constexpr bool is_none() const { return index_ < 0; }
  constexpr bool is_embedding() const { return index_ == 0; }
  /// Position in the order of a forward pass: 0 for the embedding, 1 + k for half block k; -1 for none.
  constexpr int index() const { return index_; }
  constexpr Unit next() const { return Unit(index_ + 1); }
  /// The unit before this one; none before the embedding.
  constexpr Unit previous() const { return Unit(index_ - 1); }

  friend constexpr auto operator<=>(const Unit&, const Unit&) = default;

 private:
  constexpr explicit Unit(int index) : index_(index) {}

  int index_ = -1;
};

/// First element of a unit in the flat buffer of matrices.
struct UnitBegin {
  Unit unit;
  std::int64_t begin = 0;
};

}  // namespace moderngpt2
