#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <type_traits>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/run/request_fields.hpp"
#include "support/count_members.hpp"

using namespace moderngpt2;
using moderngpt2::test::count_members;
using moderngpt2::test::count_rows;

namespace {

/// Gives a member another value.
template <class T>
void change(T& value) {
  if constexpr (requires { value.has_value(); }) {
    if (!value) value.emplace();
    change(*value);
  } else if constexpr (std::is_same_v<T, bool>) {
    value = !value;
  } else if constexpr (std::is_enum_v<T>) {
    value = words_of(value)[value == words_of(value)[0].second ? 1 : 0].second;
  } else if constexpr (std::is_arithmetic_v<T>) {
    value += 1;
  } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
    value.push_back("x");
  } else {
    value += "x";
  }
}

}  // namespace

TEST_CASE("no member of the settings is forgotten in their description") {
  // A nested structure counts as one member, and has the rows of its own members.
  CHECK(count_rows<LossScaling>() == count_members<LossScaling>());
  CHECK(count_rows<TrainingSettings>() == count_members<TrainingSettings>() - 1 + count_members<LossScaling>());
  // model_fields, text, examples, predictions_file, gpu, start, ranks and checkpoint_is_verified are not described.
  CHECK(count_rows<TrainingRequest>() == count_members<TrainingRequest>() - 8 - 4 + count_rows<TrainingSettings>() +
                                             count_members<SampleSettings>() + count_members<ReportSettings>() +
                                             count_members<TokenizerChoice>());
}

TEST_CASE("names of described members differ, and each flag has a sentence") {
  std::set<std::string> names;
  const TrainingRequest request;
  describe(request, [&](const auto&, const Field& field) {
    CHECK_MESSAGE(names.insert(field.name).second, field.name);
    if (*field.section) CHECK_MESSAGE(std::string(field.help).ends_with('.'), field.name);
  });
}

TEST_CASE("ranks that differ in one value have other fingerprints, unless it may differ") {
  const TrainingRequest first;
  TrainingRequest other;
  std::set<std::string> may_differ;
  CHECK(common_values(first) == common_values(other));
  describe(other, [&](auto& member, const Field& field) {
    const auto before = member;
    change(member);
    CHECK_MESSAGE((common_values(first) != common_values(other)) == field.same_on_ranks, field.name);
    if (!field.same_on_ranks) may_differ.insert(field.name);
    member = before;
  });
  // Adding to this list takes a reason: the value neither changes results nor what ranks exchange, or it is compared by
  // content.
  CHECK(may_differ == std::set<std::string>{"config_file",
                                            "cuda_graph",
                                            "dataloader_num_workers",
                                            "dry_run",
                                            "gpu_flops",
                                            "gpu_memory",
                                            "gradient_checkpointing",
                                            "metadata_file",
                                            "block_size",
                                            "model_path",
                                            "model_size_name",
                                            "pre_tokenized_dataset_path",
                                            "report_to",
                                            "resume_from_checkpoint",
                                            "sample_prompts",
                                            "sample_tokens",
                                            "save_total_limit",
                                            "streaming_eval_samples",
                                            "threads",
                                            "tokenizer_path",
                                            "wandb_entity",
                                            "wandb_project",
                                            "wandb_run_name",
                                            "world_size"});
}

TEST_CASE("the summary lists what differs from the defaults and has no phrase of its own") {
  TrainingSettings s;
  CHECK(other_settings(s) == "");
  s.eval_steps = 20, s.cudnn_attention = true, s.lr_scheduler_kwargs = "{}";
  s.learning_rate = 1;  // has a phrase
  CHECK(other_settings(s) == "cudnn_attention on, lr_scheduler_kwargs {}, eval_steps 20");
}
