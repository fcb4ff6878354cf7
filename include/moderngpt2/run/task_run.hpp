#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/data/parquet_rows.hpp"
#include "moderngpt2/data/tasks/examples.hpp"
#include "moderngpt2/data/tasks/labels.hpp"
#include "moderngpt2/io/shared_weights.hpp"
#include "moderngpt2/run/run.hpp"

namespace moderngpt2 {

/// What `train --task` was asked for, beside what all training has.
struct TaskRequest {
  TrainingRequest training;
  std::vector<std::string> inputs, eval_inputs;  ///< files, globs, folders
  ExampleOptions examples{};
  std::optional<std::filesystem::path> predictions_file{};  ///< where --eval_only writes what the model predicts
};

/// A request with everything opened and checked that it names.
template <class Task>
struct TaskRun {
  ModelCompanions companions;
  std::optional<Tokenizer> tokenizer;
  std::optional<typename Task::Splits> data;
  std::optional<Checkpoint> checkpoint;
  int block_size = 1024;
  std::optional<std::filesystem::path> predictions_file;
};

/// Does what is asked on a GPU, once all is prepared: a part of a program that is compiled where CUDA is.
template <class Task>
using RunTaskOnGpu = int (*)(const TrainingRequest& request, const TaskRun<Task>& run, const TrainingHooks& hooks);

namespace detail {

/// The classes of a checkpoint by their ids: id2label, or LABEL_0, LABEL_1, ...
inline std::vector<std::string> class_names(const ConfigFile& file, const std::string& where) {
  std::vector<std::string> names;
  const Json* map = find_field(file.json, "id2label", where);
  for (int i = 0; i < file.config.num_labels; ++i) {
    const std::string key = std::to_string(i);
    names.push_back(map && !map->is_null() ? get_field<std::string>(*map, key, where + ": id2label") : "LABEL_" + key);
  }
  return names;
}

inline void set_labels(ConfigFile& file, const std::vector<std::string>& names) {
  Json ids = Json::object(), by_name = Json::object();
  for (std::size_t i = 0; i < names.size(); ++i) ids[std::to_string(i)] = names[i], by_name[names[i]] = i;
  file.json["id2label"] = std::move(ids);
  file.json["label2id"] = std::move(by_name);
  file.config.num_labels = int(names.size());
}

/// The rows of some files as examples that are not finished yet.
template <class Store, class Say>
std::shared_ptr<Store> read_examples(const std::vector<std::string>& inputs, const Tokenizer& tokenizer,
                                     const ExampleOptions& options, LabelSet& labels, Say&& say) {
  auto store = std::make_shared<Store>();
  TextEncoder encoder(tokenizer, options.block_size);
  std::int64_t rows = 0;
  for_each_row(inputs, open_parquet_rows, [&](const DataRow& row, const RowReader& reader) {
    store->add(row, reader, encoder, labels, options);
    ++rows;
  });
  if (encoder.cut() > 0)
    say(fmt::format("note: {} texts of {} are longer than --block_size {} and were cut", encoder.cut(), rows,
                    options.block_size));
  return store;
}

/// The first of the examples that are held out: 5% of them, at most `most`, and at least one when there are two. The
/// windows of a question stay together.
template <class Store>
std::int64_t first_held_out(const Store& store, std::int64_t count, std::int64_t most) {
  std::int64_t held_out = std::min(most, count / 20);
  if (count >= 2) held_out = std::max<std::int64_t>(held_out, 1);
  std::int64_t first = count - held_out;
  if constexpr (requires { store.windows; })
    while (first > 0 && first < count && store.windows[std::size_t(first)].first_token > 0) --first;
  return first;
}

/// Gives the stores their final labels, and the config their names. `own`: the config of a checkpoint with the same
/// head, whose labels hold.
template <class Task, class Stores>
void finish_examples(const Stores& stores, LabelSet& labels, const std::optional<ConfigFile>& own,
                     const ExampleOptions& options, ConfigFile& file) {
  if constexpr (Task::has_labels) {
    labels.finish();
    Config& c = file.config;
    std::vector<std::string> names = labels.names();
    if constexpr (requires { stores.front()->problem(); }) {
      // How the checkpoint was trained, the flag, and what the labels look like, in this order.
      if (own) c.problem_type = own->config.problem_type;
      if (c.problem_type == ProblemType::automatic || !own)
        c.problem_type = options.problem_type.value_or(stores.front()->problem());
      if (!own && stores.front()->width() > 0) {
        names.clear();
        for (int i = 0; i < stores.front()->width(); ++i) names.push_back("LABEL_" + std::to_string(i));
        labels = LabelSet(names);
      }
      for (const auto& store : stores) store->finish(c.problem_type, int(names.size()), labels);
    } else {
      for (const auto& store : stores) store->finish(labels);
    }
    set_labels(file, names);
  } else {
    (void)stores, (void)labels, (void)own, (void)options, (void)file;
  }
}

}  // namespace detail

/// Opens what a request names, and reads its data. A dry run may leave out tokenizer and data. Throws an Error for what
/// does not fit.
template <class Task, class Say>
TaskRun<Task> prepare_task_run(const TaskRequest& request, Say&& say) {
  using Store = typename Task::Store;
  const TrainingRequest& training = request.training;
  TaskRun<Task> run;
  run.predictions_file = request.predictions_file;
  run.checkpoint = detail::find_resumed(training, say);
  if (const auto folder = detail::tokenizer_folder(training, run.checkpoint)) {
    run.tokenizer = Tokenizer::load(*folder);
    run.companions.tokenizer = TokenizerFiles::read(*folder);
  } else if (!training.dry_run || !request.inputs.empty()) {
    throw UsageError("--tokenizer_path is needed: the folder that train_tokenizer wrote");
  }
  const Tokenizer* tokenizer = run.tokenizer ? &*run.tokenizer : nullptr;

  constexpr std::string_view architecture = Task::template Model<>::Head::architecture;
  ModelSource source{.config = training.model_path ? training.model_path : training.config_file,
                     .size = training.model_size_name.value_or("small"),
                     .fields = training.model_fields,
                     .architecture = architecture};
  if (!source.config && !training.model_size_name && run.checkpoint) source.config = run.checkpoint->folder;
  ConfigFile& config = run.companions.config;
  config = resolve_config(source, tokenizer, 0);
  run.block_size = training.block_size.value_or(std::min(1024, config.config.n_positions));
  config = resolve_config(source, tokenizer, run.block_size);

  std::optional<ConfigFile> own;
  std::string where;
  for (const auto& folder :
       {run.checkpoint ? std::optional(run.checkpoint->folder) : std::nullopt, training.model_path}) {
    if (own || !folder) continue;
    ConfigFile read = read_config(*folder);
    if (read.architecture == architecture) own = std::move(read), where = folder->string();
  }
  if (training.eval_only && !own)
    throw Error("{}: has no head for --task {} to evaluate: train one first",
                training.model_path ? training.model_path->string() : "the model", Task::name);

  if (!request.inputs.empty() || !request.eval_inputs.empty()) {
    if (request.inputs.empty() && !training.eval_only) throw UsageError("--input is needed: the files to train on");
    ExampleOptions options = request.examples;
    options.block_size = run.block_size;
    LabelSet labels;
    if (own) {
      if (Task::has_labels) labels = LabelSet(detail::class_names(*own, where));
      if (own->config.problem_type != ProblemType::automatic)
        options.problem_type = own->config.problem_type;
      else if (own->config.num_labels == 1)
        options.problem_type = ProblemType::regression;
    }
    std::vector<std::shared_ptr<Store>> stores;
    const bool only_eval = training.eval_only && !request.eval_inputs.empty();
    if (!only_eval) stores.push_back(detail::read_examples<Store>(request.inputs, *tokenizer, options, labels, say));
    if (!request.eval_inputs.empty())
      stores.push_back(detail::read_examples<Store>(request.eval_inputs, *tokenizer, options, labels, say));
    detail::finish_examples<Task>(stores, labels, own, options, config);
    const auto all = [](const std::shared_ptr<Store>& store, std::int64_t begin, std::int64_t end) {
      return ExampleRange<Store>(store, begin, end);
    };
    const auto count = [](const Store& store) { return store.rows.size() / std::max(store.sequences(), 1); };
    const std::int64_t last = count(*stores.front()), eval_last = count(*stores.back());
    const std::int64_t held =
        request.eval_inputs.empty() ? detail::first_held_out(*stores[0], last, training.streaming_eval_samples) : 0;
    run.data.emplace();
    run.data->train = all(stores.front(), 0, held > 0 ? held : last);
    run.data->eval = all(stores.back(), held, eval_last);
    run.block_size = std::max(run.data->train.block_size(), run.data->eval.block_size());
  } else if (!training.dry_run) {
    throw UsageError("--input is needed: the files with the examples of --task {}", Task::name);
  } else if (own && Task::has_labels) {
    detail::set_labels(config, detail::class_names(*own, where));
  }
  if (std::is_same_v<typename Task::template Model<>::Head, SequenceClassificationHead<dynamic>> && tokenizer &&
      !config.config.pad_token_id)
    throw Error(
        "the tokenizer has no pad token, which tells where texts of a batch end: set \"pad_token\" in its "
        "tokenizer_config.json");
  if (run.checkpoint)
    require_same_model(read_config(run.checkpoint->folder).config, config.config, run.checkpoint->folder.string());
  return run;
}

/// Gives a trainer the weights that a run starts from: those of --model_path, of which a model with another head gives
/// its transformer, or random ones.
template <class T, class Task>
void start_weights(T& trainer, const TrainingRequest& request, const TaskRun<Task>& run, const TrainingHooks& hooks) {
  if (!request.model_path) return trainer.initialize(request.settings.seed);
  const CheckpointTensors tensors(*request.model_path);
  const ConfigFile there = read_config(*request.model_path);
  if (there.architecture == run.companions.config.architecture) return trainer.fill(FileWeights(tensors, there));
  TransferredWeights weights(tensors, there, run.companions.config.config, request.settings.seed);
  trainer.fill(weights);
  hooks.say(fmt::format("{} is a {}: {}", request.model_path->string(), there.architecture, weights.shared().text()));
}

/// Writes what a model predicts for each example, a JSON object a line, where that was asked for.
template <class Task>
void write_predictions(const TrainingRequest&, const TaskRun<Task>& run, const typename Task::Scores& scores) {
  if (!run.predictions_file) return;
  AtomicFile file(*run.predictions_file);
  for (std::int64_t i = 0; i < scores.size(); ++i)
    file.write(scores.prediction(i).dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
  file.commit();
}

/// Does what `train --task` was asked for. Returns the exit status: 0, or 128 plus the signal that stopped the run, the
/// same in all processes; and 1 or 2 where several of them failed and one said why, through `hooks.complain`.
/// `hooks.say` must be given, and `run_on_gpu` where the request names a GPU.
template <class Task>
int run_task(const TaskRequest& request, const TrainingHooks& all_hooks, RunTaskOnGpu<Task> run_on_gpu = nullptr) {
  const TrainingRequest& training = request.training;
  distributed::CommunicatorBase& ranks = distributed::ranks_or_alone(training.ranks);
  const TrainingHooks hooks = hooks_of_rank(all_hooks, ranks);
  return status_on_ranks(ranks, all_hooks, [&] {
    all_or_none(ranks, "checking the request", [&] {
      detail::check_request(training, run_on_gpu != nullptr, hooks.say);
      if (request.predictions_file && !training.eval_only)
        throw UsageError("--predictions_file: predictions are written with --eval_only");
      if (!training.samples.prompts.empty())
        throw UsageError("--sample_prompts: only a language model (--task causal-lm) continues texts");
    });
    const TaskRun<Task> run = prepare_on_ranks(training, ranks, [&](const TrainingRequest& own) {
      TaskRequest its = request;
      its.training = own;
      return prepare_task_run<Task>(its, hooks.say);
    });
    if (training.gpu) return run_on_gpu(training, run, hooks);
    if (cpu_precision(training.precision) == PrecisionName::bf16)
      return detail::run_model<typename Task::template Model<cpu::Backend, Bf16>, Task>(training, run, hooks);
    return detail::run_model<typename Task::template Model<>, Task>(training, run, hooks);
  });
}

}  // namespace moderngpt2
