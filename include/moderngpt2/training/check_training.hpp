#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

#include <fmt/format.h>

#include "moderngpt2/backend/step_graph.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/distributed/agreement.hpp"
#include "moderngpt2/distributed/communicator.hpp"
#include "moderngpt2/io/config_file.hpp"
#include "moderngpt2/io/gemma2_export.hpp"
#include "moderngpt2/io/model_format.hpp"
#include "moderngpt2/training/best_checkpoint.hpp"
#include "moderngpt2/training/language_modelling.hpp"
#include "moderngpt2/training/model_optimizer.hpp"
#include "moderngpt2/training/settings.hpp"
#include "moderngpt2/training/validate_settings.hpp"

namespace moderngpt2 {

/// Throws an Error for settings that are invalid or do not fit the model, the data or the ranks (null: a single rank)
/// of a Trainer.
template <class Task, class M>
void check_training(const M& model, const typename Task::Splits& data, const TrainingSettings& s,
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
  if (std::is_same_v<Task, LanguageModelling> && data.train.block_size() < 2)
    throw Error(
        "the data set has blocks of {} token: a language model learns from the next token, so blocks need at "
        "least 2",
        data.train.block_size());
  if (s.save_format != SaveFormat::moderngpt2) {
    ConfigFile file;
    file.config = model.config();
    if constexpr (requires { M::Head::architecture; }) file.architecture = M::Head::architecture;
    require_gemma2(file, fmt::format("{}", Setting{"save_format"}));
  }
  if (s.label_smoothing_factor > 0) {
    bool smooths = false;
    if constexpr (requires { Task::Batch::smooths_labels(data.train); })
      smooths = Task::Batch::smooths_labels(data.train);
    if (!smooths)
      throw Error("{} is {}, but the labels of this task are not classes: set it to 0",
                  Setting{"label_smoothing_factor"}, s.label_smoothing_factor);
  }
  const std::pair<bool, const char*> evaluations[]{{s.load_best_model_at_end, "load_best_model_at_end"},
                                                   {s.save_strategy == SaveStrategy::best, "save_strategy"},
                                                   {s.early_stopping_patience.has_value(), "early_stopping_patience"},
                                                   {s.eval_on_start, "eval_on_start"}};
  for (const auto& [is_set, name] : evaluations)
    if (is_set && data.eval.size() < 1)
      throw Error("{} needs evaluation examples, the data set has none", Setting{name});
  if (data.eval.size() > 0 && s.metric_for_best_model)
    require_metric(s, typename Task::Scores(data.eval, model.config()).result(0));
}

/// Throws an Error on all ranks if the weights of a rank are not finite after `step`: such weights cannot be trained
/// further and must not become the newest checkpoint.
template <class Optimizer>
void require_finite_weights(Optimizer& optimizer, distributed::CommunicatorBase& ranks, std::int64_t step) {
  if (max_over_ranks(ranks, !optimizer.has_finite_weights(), "whether the weights are finite") > 0)
    fail_together(ranks, Error("the weights are not finite after step {}: nothing was saved, earlier checkpoints are "
                               "unchanged",
                               step));
}

/// Throws an Error on all ranks, with a hint, if the weights that all ranks have differ.
template <class M>
void require_equal_replicas(const M& model, const TrainingSettings& s, distributed::CommunicatorBase& ranks,
                            const char* hint) {
  const distributed::Fingerprint own{"set of weights", hash_of_weights(model, !s.shards_weights())};
  require_same(ranks, std::span(&own, 1), hint);
}

}  // namespace moderngpt2
