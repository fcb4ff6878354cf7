#pragma once

#include <cmath>
#include <cstdint>

#include "moderngpt2/data/blocks.hpp"
#include "moderngpt2/distributed/communicator.hpp"
#include "moderngpt2/model/heads.hpp"
#include "moderngpt2/training/batch.hpp"
#include "moderngpt2/training/evaluation.hpp"

namespace moderngpt2 {

/// What Trainer needs to know of a kind of training; this one: next-token prediction on blocks of text. Those of the
/// other heads are in training/tasks/.
struct LanguageModelling {
  using Batch = TokenBatch;
  using Splits = TrainAndEval;  ///< `train` and `eval`, of the type Batch::Data
  template <class Backend = cpu::Backend, class Precision = Fp32>
  using Model = CausalLM<any_shape, Backend, Precision>;
  static constexpr const char* name = "causal-lm";
  static constexpr const char* examples = "blocks";
  static constexpr bool predicts_tokens = true;  ///< whether logits over the vocabulary are computed

  /// What an evaluation is judged by.
  struct Scores {
    Scores(const BlockDataset&, const Config&) {}
    template <class B, class Head>
    void add(B&, const Head&, const TokenBatch&, std::int64_t) {}
    void gather(distributed::CommunicatorBase&) {}  // the loss says it all
    ScoreList result(double loss) const { return {{"perplexity", std::exp(loss)}}; }
  };
};

}  // namespace moderngpt2
