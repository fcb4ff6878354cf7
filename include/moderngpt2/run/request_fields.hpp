#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/config/field.hpp"
#include "moderngpt2/config/field_text.hpp"
#include "moderngpt2/config/presets.hpp"
#include "moderngpt2/run/request.hpp"
#include "moderngpt2/training/settings.hpp"

namespace moderngpt2 {

namespace detail {

inline constexpr auto preset_names = [] {
  std::array<std::string_view, presets.size()> names;
  for (std::size_t i = 0; i < names.size(); ++i) names[i] = presets[i].name;
  return names;
}();

}  // namespace detail

/// Names each member of a request and of its settings once, in the order of --help (see config/field.hpp).
/// Members of other types (model_fields, text, gpu, ranks) have flags of their own.
template <DescribedAs<TrainingRequest> R, class Visitor>
void describe(R& r, Visitor&& visit) {
  // Ranks compare model, tokenizer, data and checkpoint by content, and the rest concerns one rank.
  const auto own = [&](auto& member, Field field) {
    field.same_on_ranks = false;
    visit(member, field);
  };
  own(r.model_size_name, {.name = "model_size_name",
                          .help = "Size of a new model.",
                          .section = "Model",
                          .choices = detail::preset_names,
                          .default_text = "small"});
  own(r.config_file, {.name = "config_file",
                      .help = "config.json of a new model; overrides --model_size_name.",
                      .section = "Model",
                      .aliases = {"config_name"}});
  own(r.model_path, {.name = "model_path",
                     .help = "Folder of a pretrained model: start from its weights and config.",
                     .section = "Model",
                     .aliases = {"model_name_or_path"}});
  own(r.tokenizer_path, {.name = "tokenizer_path",
                         .help = tokenizer_path_help,
                         .section = "Model",
                         .default_text = "that of --model_path",
                         .aliases = {"tokenizer_name"}});
  visit(r.tokenizer.pattern, {.name = "tokenizer_pattern", .help = tokenizer_pattern_help, .section = "Model"});
  visit(r.tokenizer.eos_token,
        {.name = "eos_token", .help = eos_token_help, .section = "Model", .default_text = "the tokenizer's"});
  visit(r.tokenizer.eos_token_id,
        {.name = "eos_token_id", .help = eos_token_id_help, .section = "Model", .at_least = 0});
  visit(r.tokenizer.pad_token_id, {.name = "pad_token_id",
                                   .help = "Id of the token that pads a batch, if the tokenizer names none.",
                                   .section = "Model",
                                   .at_least = 0});
  visit(r.vocab_size, {.name = "vocab_size",
                       .help = "Vocabulary size of the model. Needed to train on shards without a tokenizer if their "
                               "metadata.yaml does not name it.",
                       .section = "Model",
                       .at_least = 1,
                       .default_text = "that of --config_file, the tokenizer or the shards"});
  visit(r.pad_vocab_multiple, {.name = "pad_vocab_multiple",
                               .help = "Round the vocabulary size of a new model up to a multiple. Padding rows are "
                                       "never generated.",
                               .section = "Model",
                               .at_least = 1,
                               .at_most = 1 << 20});
  own(r.pre_tokenized_dataset_path, {.name = "pre_tokenized_dataset_path",
                                     .help = "Folder of shards that pretokenize_dataset wrote.",
                                     .section = "Data"});
  own(r.metadata_file, {.name = "metadata_file",
                        .help = "YAML file that lists shards; overrides --pre_tokenized_dataset_path.",
                        .section = "Data"});
  own(r.block_size, {.name = "block_size",
                     .help = "Block length in tokens. Must match the shards.",
                     .section = "Data",
                     .at_least = 1,
                     .default_text = "taken from the shards",
                     .aliases = {"max_seq_length"}});
  own(r.streaming_eval_samples,
      {.name = "streaming_eval_samples",
       .help = "Maximum number of blocks held out for evaluation if the data has no evaluation set; at most 5%.",
       .section = "Data",
       .at_least = 0});
  describe(r.settings, visit);
  own(r.threads, {.name = "threads",
                  .help = "CPU threads of this process.",
                  .section = "Training",
                  .at_least = 1,
                  .default_text = "all cores, divided among the processes"});
  own(r.resume_from_checkpoint,
      {.name = "resume_from_checkpoint",
       .help = "Folder of a checkpoint to resume from, or 'latest' for the newest in --output_dir.",
       .section = "Run"});
  visit(r.eval_only, {.name = "eval_only", .help = "Evaluate and exit.", .section = "Run"});
  visit(r.weights, {.name = "weights",
                    .help = "With --eval_only on the CPU: evaluate with quantized matrices and in bf16, and print the "
                            "bits per byte of both.",
                    .section = "Run",
                    .default_text = "format of --precision"});
  own(r.dry_run,
      {.name = "dry_run", .help = "Print the plan (model, data, steps, memory, disk) and exit.", .section = "Run"});
  own(r.gpu_memory, {.name = "gpu_memory",
                     .help = "Memory of each GPU, such as 94GiB or 80GB. --dry_run --device cuda then prints whether "
                             "the run fits and which batch sizes do.",
                     .section = "Run"});
  own(r.gpu_flops, {.name = "gpu_flops",
                    .help = "FLOP/s that each GPU reaches in training, such as 4e14. --dry_run --device cuda then "
                            "prints the estimated time.",
                    .section = "Run",
                    .more_than = 0});
  own(r.samples.prompts,
      {.name = "sample_prompts", .help = "Prompts that the model completes at each evaluation.", .section = "Reports"});
  own(r.samples.max_new_tokens, {.name = "sample_tokens",
                                 .help = "Maximum number of new tokens per sample.",
                                 .section = "Reports",
                                 .at_least = 1});
  own(r.report.to, {.name = "report_to",
                    .help = "Write a TensorBoard log; wandb and all: also print the command that uploads it.",
                    .section = "Reports"});
  own(r.report.project, {.name = "wandb_project", .help = "Name of the wandb project.", .section = "Reports"});
  own(r.report.entity, {.name = "wandb_entity", .help = "Name of the wandb user or team.", .section = "Reports"});
  own(r.report.run_name, {.name = "wandb_run_name",
                          .help = "Name of the run and of its log's folder.",
                          .section = "Reports",
                          .default_text = "{project}-{size}",
                          .aliases = {"run_name"}});
  visit(r.precision, {.name = "precision"});
}

/// Text of the values that must be the same on every rank: lines NAME=VALUE.
template <class S>
std::string common_values(const S& settings) {
  std::string text;
  describe(settings, [&](const auto& member, const Field& field) {
    if (field.same_on_ranks) text += fmt::format("{}={}\n", field.name, field_text(member));
  });
  return text;
}

/// Text "NAME VALUE, ..." of the settings that differ from their defaults and that settings_text() does not print.
inline std::string other_settings(const TrainingSettings& settings) {
  std::vector<std::string> defaults, changed;
  const TrainingSettings standard;
  describe(standard, [&](const auto& member, const Field&) { defaults.push_back(field_text(member)); });
  std::size_t row = 0;
  describe(settings, [&](const auto& member, const Field& field) {
    const std::string value = field_text(member);
    if (value != defaults[row++] && !field.in_summary) changed.push_back(fmt::format("{} {}", field.name, value));
  });
  return fmt::format("{}", fmt::join(changed, ", "));
}

}  // namespace moderngpt2
