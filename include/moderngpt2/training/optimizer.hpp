#pragma once

#include <concepts>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/model/parameters.hpp"

namespace moderngpt2 {

/// Parameters that have a state tensor of an optimizer: all, matrices only, or vectors (norms and biases) only.
enum class StateScope { all, matrices, vectors };

/// State of an optimizer with one fp32 element per parameter element (fp64 for fp64 models), in the memory of the
/// model's backend.
template <class M>
using StateTensors = ParameterBuffers<typename M::FullElements, typename M::Memory>;

/// Arguments of one optimizer step, equal for all its pieces.
struct UpdateStep {
  double learning_rate = 0;
  double gradient_scale = 1;  ///< factor of every gradient: clipping and loss scale
  /// In device memory, replaces gradient_scale and says whether to update at all; null: use gradient_scale. Set only on
  /// backends that satisfy DecidesUpdates.
  const UpdateDecision* decision = nullptr;
  std::int64_t number = 1;  ///< counts applied updates from 1, for bias correction
};

/// Contiguous parameter elements that one call of an optimizer updates. Pointers are to the memory of the backend.
/// Element: type of weights, gradients and, by default, state. Rounded: type that the model computes with if it is
/// narrower than Element; void otherwise.
template <class Element, class Rounded, bool matrix>
struct ParameterPiece {
  static constexpr bool is_matrix = matrix;  ///< true: matrices (weight decay); false: norms and biases (no decay)
  static constexpr bool has_rounded = !std::is_void_v<Rounded>;

  Element* weights = nullptr;          ///< (count), updated in place
  const Element* gradients = nullptr;  ///< (count), before UpdateStep::gradient_scale
  Rounded* rounded = nullptr;          ///< (count), receives the rounded new weights; null if has_rounded is false
  std::int64_t count = 0;              ///< elements
  std::int64_t at = 0;                 ///< first element in the state tensors
  /// The matrix, of `shape` (rows, columns), for optimizers that need whole matrices; null otherwise.
  const ParameterInfo* parameter = nullptr;

  /// (count), the elements of a state tensor that belong to this piece.
  template <class E, class Memory>
  auto* state(ParameterBuffers<E, Memory>& tensors) const {
    if constexpr (is_matrix)
      return tensors.matrices.data() + at;
    else
      return tensors.vectors.data() + at;
  }
};

template <class M>
using MatrixPiece = ParameterPiece<
    typename M::FullElements::MatrixType,
    std::conditional_t<M::rounds_weights, std::remove_cvref_t<decltype(*std::declval<M&>().weights().matrices.data())>,
                       void>,
    true>;
template <class M>
using VectorPiece = ParameterPiece<typename M::FullElements::VectorType, void, false>;

namespace detail {
struct IgnoreState {
  void operator()(const char*, auto&, StateScope) const {}
};
}  // namespace detail

/// Optimizer of a model of type M: hyperparameters, state tensors, and the update of one piece of the parameters.
///
///   static constexpr const char* name               for messages
///   static constexpr bool needs_whole_matrices      false: update() accepts any contiguous piece of the parameters, so
///                                                   ZeRO may cut matrices. true: each piece is one matrix or a piece
///                                                   of the vectors; ZeRO stages 1 to 3 are refused.
///   static describe_state(self, visit)              calls visit(name, tensors, scope) for each state tensor of `self`:
///                                                   its name in checkpoint files, a member such as StateTensors<M>,
///                                                   and the parameters that have it (StateScope). Tensors have the
///                                                   parameters' shapes.
///   update(backend, piece, step)                    updates weights, rounded weights and state of a MatrixPiece<M> or
///                                                   a VectorPiece<M>
///
/// Allocation, sharding over ranks, checkpoints, and the memory plan visit the states by describe_state(): an optimizer
/// allocates nothing, and its constructor leaves all state tensors empty. They are zero before the first step. Trainer
/// constructs an optimizer from TrainingSettings, or takes an instance. `AdamW` is the default;
/// examples/custom_optimizer.cpp adds one.
template <class O, class M>
concept OptimizerFor = std::movable<O> &&
    requires(O& o, const O& constant, typename M::Backend& backend, const MatrixPiece<M>& matrix,
             const VectorPiece<M>& vector, const UpdateStep& step) {
  { O::name } -> std::convertible_to<const char*>;
  { O::needs_whole_matrices } -> std::convertible_to<bool>;
  O::describe_state(o, detail::IgnoreState{});
  O::describe_state(constant, detail::IgnoreState{});
  o.update(backend, matrix, step);
  o.update(backend, vector, step);
};

}  // namespace moderngpt2
