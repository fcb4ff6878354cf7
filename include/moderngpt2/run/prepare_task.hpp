#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/data/parquet_rows.hpp"
#include "moderngpt2/data/tasks/examples.hpp"
#include "moderngpt2/data/tasks/labels.hpp"
#include "moderngpt2/model/heads.hpp"
#include "moderngpt2/run/model_settings.hpp"
#include "moderngpt2/run/request.hpp"

namespace moderngpt2 {

namespace detail {

/// Returns the class names of a checkpoint in the order of their ids: id2label, or LABEL_0, LABEL_1, ...
inline std::vector<std::string> class_names(const ConfigFile& file, const std::string& where) {
  std::vector<std::string> names;
  const Json* map = find_field(file.json, "id2label", where);
  std::unordered_map<std::string_view, const Json*> by_id;  // look-up in a Json object is linear
  if (map && !map->is_null()) {
    (void)find_field(*map, "", where + ": id2label");  // must be an object
    for (const auto& [key, name] : map->get_ref<const Json::object_t&>()) by_id.emplace(key, &name);
  }
  for (int i = 0; i < file.config.num_labels; ++i) {
    const std::string key = std::to_string(i);
    if (!map || map->is_null()) {
      names.push_back("LABEL_" + key);
      continue;
    }
    const auto found = by_id.find(key);
    if (found == by_id.end()) throw Error("{}: id2label: {} is missing", where, key);
    names.push_back(json_as<std::string>(*found->second, key, where + ": id2label"));
  }
  return names;
}

/// Sets id2label, label2id and num_labels of a config.
inline void set_labels(ConfigFile& file, const std::vector<std::string>& names) {
  Json ids = Json::object(), by_name = Json::object();
  for (std::size_t i = 0; i < names.size(); ++i) {
    // emplace_back on the underlying vectors: the map's insertion would compare all keys. Names are different.
    ids.get_ref<Json::object_t&>().emplace_back(std::to_string(i), names[i]);
    by_name.get_ref<Json::object_t&>().emplace_back(names[i], i);
  }
  file.json["id2label"] = std::move(ids);
  file.json["label2id"] = std::move(by_name);
  file.config.num_labels = int(names.size());
}

/// Reads the rows of files into a store. `part`: files of folders to read. Labels become ids in finish_examples(), when
/// all are known.
template <class Store, class Say>
std::shared_ptr<Store> read_examples(const std::vector<std::string>& inputs, TextPart part, const Tokenizer& tokenizer,
                                     const ExampleOptions& options, LabelSet& labels, Say&& say) {
  auto store = std::make_shared<Store>();
  TextEncoder encoder(tokenizer, options.block_size);
  std::int64_t rows = 0;
  const auto add = [&](const DataRow& row, const RowReader& reader) {
    store->add(row, reader, encoder, labels, options);
    ++rows;
  };
  for_each_row(inputs, open_parquet_rows, add, part);
  if (encoder.cut() > 0)
    say(fmt::format("note: {} texts of {} are longer than --block_size {} and were cut", encoder.cut(), rows,
                    options.block_size));
  return store;
}

/// Returns the index of the first example of the evaluation set, which is split off the end: 5% of the examples, at
/// most `most`, at least 1 if there are 2 or more. All windows of one question stay in one set.
template <class Store>
std::int64_t first_held_out(const Store& store, std::int64_t count, std::int64_t most) {
  std::int64_t held_out = std::min(most, count / 20);
  if (count >= 2) held_out = std::max<std::int64_t>(held_out, 1);
  std::int64_t first = count - held_out;
  if constexpr (requires { store.windows; })
    while (first > 0 && first < count && store.windows[std::size_t(first)].first_token > 0) --first;
  return first;
}

/// Sets label ids in the stores and label names in the config. `own`: config of a checkpoint with the task's head,
/// whose labels are kept.
template <class Task, class Stores>
void finish_examples(const Stores& stores, LabelSet& labels, const std::optional<ConfigFile>& own,
                     const ExampleOptions& options, ConfigFile& file) {
  if constexpr (Task::has_labels) {
    labels.finish();
    Config& c = file.config;
    std::vector<std::string> names = labels.names();
    if constexpr (requires { stores.front()->problem(); }) {
      stores.back()->require_form_of(*stores.front());
      // Precedence: the checkpoint, the setting, the form of the labels.
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

/// Config of a checkpoint or model that already has the head of the task, and the folder that it was read from.
struct OwnConfig {
  std::optional<ConfigFile> file;
  std::string folder;
};

/// Looks for the task's head in the checkpoint to resume from, then in model_path.
inline OwnConfig config_with_head(const TrainingRequest& request, const std::optional<Checkpoint>& checkpoint,
                                  std::string_view architecture) {
  for (const auto& folder : {checkpoint ? std::optional(checkpoint->folder) : std::nullopt, request.model_path}) {
    if (!folder) continue;
    ConfigFile read = read_config(*folder);
    if (read.architecture == architecture) return {std::move(read), folder->string()};
  }
  return {};
}

/// Reads the examples of a request and splits off an evaluation set if none is named. Sets the labels in `config`.
template <class Task, class Say>
typename Task::Splits read_splits(const TrainingRequest& request, const Tokenizer& tokenizer, int block_size,
                                  const OwnConfig& own, ConfigFile& config, Say&& say) {
  using Store = typename Task::Store;
  const ExampleFiles& files = request.examples;
  if (files.inputs.empty() && !request.eval_only) throw UsageError("--input is needed: the files to train on");
  ExampleOptions options = files.options;
  options.block_size = block_size;
  options.labels_are_optional = request.eval_only && request.predictions_file.has_value();
  LabelSet labels;
  if (own.file) {
    if (Task::has_labels) labels = LabelSet(class_names(*own.file, own.folder));
    if (own.file->config.problem_type != ProblemType::automatic)
      options.problem_type = own.file->config.problem_type;
    else if (own.file->config.num_labels == 1)
      options.problem_type = ProblemType::regression;
  }
  std::vector<std::shared_ptr<Store>> stores;
  std::vector<std::string> eval_inputs = files.eval_inputs;
  TextPart eval_part = TextPart::evaluation;
  if (eval_inputs.empty()) {
    for (const std::string& line : text_file_notes(files.inputs, true)) say("note: " + line);
    if (!find_text_files(files.inputs, TextPart::validation).empty())
      eval_inputs = files.inputs, eval_part = TextPart::validation;
  } else if (!files.inputs.empty()) {
    for (const std::string& line : text_file_notes(files.inputs, false)) say("note: " + line);
  }
  const bool only_eval = request.eval_only && !eval_inputs.empty();
  if (!only_eval) {
    stores.push_back(read_examples<Store>(files.inputs, TextPart::train, tokenizer, options, labels, say));
    // Whole numbers of the evaluation set are numbers if those of the training set have fractions.
    if constexpr (requires { stores.front()->problem(); })
      if (!options.problem_type && stores.front()->width() == 1) options.problem_type = ProblemType::regression;
  }
  if (!eval_inputs.empty())
    stores.push_back(read_examples<Store>(eval_inputs, eval_part, tokenizer, options, labels, say));
  finish_examples<Task>(stores, labels, own.file, options, config);
  const auto count = [](const Store& store) { return store.rows.size() / std::max(store.sequences(), 1); };
  const std::int64_t last = count(*stores.front()), eval_last = count(*stores.back());
  const std::int64_t first_of_eval =
      eval_inputs.empty() ? first_held_out(*stores[0], last, request.streaming_eval_samples) : 0;
  typename Task::Splits splits;
  splits.train = ExampleRange<Store>(stores.front(), 0, first_of_eval > 0 ? first_of_eval : last);
  splits.eval = ExampleRange<Store>(stores.back(), first_of_eval, eval_last);
  return splits;
}

}  // namespace detail

/// Prepares the training or evaluation of a classifier: opens tokenizer, model config and checkpoint, and reads the
/// examples. A dry run needs neither tokenizer nor examples. Throws Error if they do not match.
template <class Task, class Say>
PreparedRun<Task> prepare_task_run(const TrainingRequest& request, Say&& say) {
  const bool has_files = !request.examples.inputs.empty() || !request.examples.eval_inputs.empty();
  PreparedRun<Task> run;
  run.checkpoint = detail::find_resumed(request, say);
  using Use = detail::TokenizerUse;
  const auto tokenizer_path =
      detail::load_tokenizer(request, !request.dry_run || has_files ? Use::required : Use::optional, run, say);
  const Tokenizer* tokenizer = run.tokenizer ? &*run.tokenizer : nullptr;
  std::optional<Vocabulary> known;
  if (tokenizer) known = vocabulary_of(*tokenizer, request.tokenizer);
  const Vocabulary* const vocabulary = known ? &*known : nullptr;

  constexpr std::string_view architecture = Task::template Model<>::Head::architecture;
  const ModelSource source = detail::model_source(request, run.checkpoint, architecture);
  ConfigFile& config = run.companions.config;
  config = resolve_config(source, vocabulary, 0);
  run.block_size = request.block_size.value_or(std::min(1024, config.config.n_positions));
  config = resolve_config(source, vocabulary, run.block_size);

  const detail::OwnConfig own = detail::config_with_head(request, run.checkpoint, architecture);
  if (request.eval_only && !own.file)
    throw Error("{}: has no head for --task {} to evaluate: train one first",
                request.model_path ? request.model_path->string() : "the model", Task::name);
  if (has_files) {
    run.data = detail::read_splits<Task>(request, *tokenizer, run.block_size, own, config, say);
    run.block_size = std::max(run.data->train.block_size(), run.data->eval.block_size());
  } else if (!request.dry_run) {
    throw UsageError("--input is needed: the files with the examples of --task {}", Task::name);
  } else if (own.file && Task::has_labels) {
    detail::set_labels(config, detail::class_names(*own.file, own.folder));
  }
  if (std::is_same_v<typename Task::template Model<>::Head, SequenceClassificationHead<dynamic>> && tokenizer &&
      !config.config.pad_token_id)
    throw Error(
        "the tokenizer has no pad token, which marks the end of the texts of a batch: give {}, or set \"pad_token\" in "
        "its tokenizer_config.json",
        Setting{"pad_token_id"});
  if (run.checkpoint)
    require_same_model(read_config(run.checkpoint->folder).config, config.config, run.checkpoint->folder.string());
  detail::prepare_export(request, tokenizer_path, run, say);
  return run;
}

}  // namespace moderngpt2
