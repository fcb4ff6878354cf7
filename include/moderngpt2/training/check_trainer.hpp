#pragma once

#include <algorithm>
#include <string>

#include <fmt/format.h>

#include "moderngpt2/backend/step_graph.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/distributed/communicator.hpp"
#include "moderngpt2/training/settings.hpp"

namespace moderngpt2::detail {

/// Throws an Error for settings of a Trainer that are invalid or do not fit the model, the data or the ranks.
template <class M, class Splits>
void check_trainer(const M& model, const Splits& data, const TrainingSettings& s,
                   const distributed::CommunicatorBase* ranks) {
  validate(s);
  if (const int size = ranks ? ranks->size() : 1; s.world_size != size)
    throw Error("{} is {}, but the trainer has {}: it must be the number of ranks", Setting{"world_size"}, s.world_size,
                size == 1 ? std::string("no other ranks") : fmt::format("{} ranks", size));
  if (s.cuda_graph && !CapturesSteps<typename M::Backend>)
    throw Error("{} is for one process that trains on a GPU", Setting{"cuda_graph"});
  if (data.train.size() < 1) throw Error("the data set has no training examples");
  if (const int longest = std::max(data.train.block_size(), data.eval.block_size());
      longest > model.config().n_positions)
    throw Error("the data set has sequences of {} tokens, the model's n_positions is {}: use shorter blocks", longest,
                model.config().n_positions);
}

}  // namespace moderngpt2::detail
