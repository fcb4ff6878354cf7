#pragma once

#include <cmath>
#include <cstdint>

#include "moderngpt2/data/blocks.hpp"
#include "moderngpt2/distributed/communicator.hpp"
#include "moderngpt2/model/heads.hpp"
#include "moderngpt2/training/batch.hpp"
#include "moderngpt2/training/evaluation.hpp"

namespace moderngpt2 {

/// Task of Trainer for next-token prediction on blocks of text: batches, data splits and metrics. training/tasks/ has
/// the tasks of the other heads.
struct LanguageModelling {
  using Batch = TokenBatch;
  using Splits = TrainAndEval;  ///< has members `train` and `eval` of type Batch::Data
  template <class Backend = cpu::Backend, class Precision = Fp32>
  using Model = CausalLM<any_shape, Backend, Precision>;
  static constexpr const char* name = "causal-lm";
  static constexpr const char* examples = "blocks";

  /// Metrics of an evaluation: perplexity.
  struct Scores {
    Scores(const BlockDataset&, const Config&) {}
    template <class B, class Head>
    void add(B&, const Head&, const TokenBatch&, std::int64_t) {}
    void gather(distributed::CommunicatorBase&) {}  // perplexity follows from the loss
    ScoreList result(double loss) const { return {{"perplexity", std::exp(loss)}}; }
  };
};

}  // namespace moderngpt2
