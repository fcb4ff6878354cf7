#pragma once

#include "moderngpt2/backend/cuda/runtime.hpp"
#include "moderngpt2/core/view.hpp"

// Entries of kernels/sampling.cuh: plain data, all pointers to GPU memory.
namespace moderngpt2::cuda {

/// A TokenChoice whose lists lie in one array: first the seen tokens, then the removed ones.
struct TokenRule {
  double temperature, top_p, min_p, repetition_penalty, uniform;
  int row;  ///< of the logits
  int top_k;
  int seen, removed, end;  ///< where the lists begin in the array, and where the second ends
  bool do_sample;
};

/// tokens (n): the next token of each rule's row, or one of token_choice.hpp's codes. The logits are changed as
/// generation/sampler.hpp changes them.
template <class T>
struct ChooseTokens {
  Rows<T> logits;
  const TokenRule* rules;  ///< (n)
  const int* lists;
  int* tokens;
  int n;

  void launch(cudaStream_t stream) const;
};

}  // namespace moderngpt2::cuda
