#include <cstddef>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "io/expect_error.hpp"
#include "moderngpt2/cli/hugging_face_flags.hpp"
#include "moderngpt2/cli/processes.hpp"
#include "moderngpt2/cli/train_flags.hpp"
#include "moderngpt2/io/file.hpp"

using namespace moderngpt2;

namespace {

/// Flags of `train`.
struct Train {
  TrainingRequest request;
  Options options{"train", "Trains."};
  TrainFlags flags{options, request};

  std::string parse(const std::vector<std::string>& words) {
    try {
      options.parse(words);
    } catch (const UsageError& refused) {
      return refused.what();
    }
    return "accepted";
  }
  /// Parses and completes a dry run.
  std::string complete(std::vector<std::string> words) {
    words.push_back("--dry_run");
    Processes alone;
    TrainingHooks hooks;
    try {
      options.parse(words);
      flags.complete(alone, hooks, [](const std::string&, bool, bool) {});
    } catch (const UsageError& refused) {
      return refused.what();
    }
    return "accepted";
  }
};

std::string after(const std::vector<std::string>& words) { return Train().complete(words); }

std::set<std::string> spellings() {
  std::set<std::string> names;
  const Train train;
  for (const Option& option : train.options.table().rows)
    for (const std::string& name : option.spellings()) {
      CHECK_MESSAGE(names.insert(name).second, name);
    }
  return names;
}

}  // namespace

TEST_CASE("every flag of Hugging Face's Trainer and run_clm.py is known, and every flag once") {
  const std::set<std::string> known = spellings();
  const std::string text = read_file(std::string(MODERNGPT2_TEST_DATA) + "/hugging_face_flags.txt");
  int names = 0;
  for (std::size_t begin = 0; begin < text.size(); ++names) {
    const std::size_t end = text.find('\n', begin);
    const std::string name = text.substr(begin, end - begin);
    CHECK_MESSAGE(known.contains(name), name);
    begin = end + 1;
  }
  CHECK(names > 150);
}

TEST_CASE("each row says why nothing is done, and what to do instead") {
  for (const ForeignFlag& flag : hugging_face_flags) {
    CAPTURE(flag.name);
    const std::string_view accepted = flag.accepted, note = flag.note, refusal = flag.refusal;
    CHECK(accepted.empty() == note.empty());
    CHECK((accepted == "*") == refusal.empty());
    if (!refusal.empty()) CHECK(refusal.find(". ") != refusal.npos);
    CHECK_FALSE(note.ends_with('.'));
  }
  const std::string page = read_file(std::string(MODERNGPT2_TEST_DATA) + "/../../docs/hugging_face_flags.md");
  const bool is_current = page.find(hugging_face_flags_markdown()) != page.npos;
  CHECK_MESSAGE(is_current, "docs/hugging_face_flags.md must contain:\n", hugging_face_flags_markdown());
}

TEST_CASE("a command line of run_clm.py is accepted") {
  Train train;
  CHECK(train.complete({"--model_name_or_path",
                        "base",
                        "--tokenizer-name",
                        "tok",
                        "--train_file",
                        "a.txt",
                        "--do_train",
                        "--do_eval",
                        "--per-device-train-batch-size",
                        "4",
                        "--validation_split_percentage",
                        "10",
                        "--optim",
                        "adamw_torch_fused",
                        "--bf16",
                        "True",
                        "--bf16_full_eval",
                        "--overwrite_output_dir",
                        "--ddp_find_unused_parameters",
                        "False",
                        "--no_dataloader_pin_memory",
                        "--disable_tqdm=true",
                        "--remove_unused_columns",
                        "no",
                        "--report_to",
                        "none",
                        "--run_name",
                        "first",
                        "--ddp_timeout",
                        "60",
                        "--gradient_checkpointing_kwargs",
                        R"({"use_reentrant": false})",
                        "--torch_compile",
                        "--push_to_hub",
                        "False",
                        "--warmup_steps",
                        "0.1",
                        "--no-group-by-length",
                        "--preprocessing_num_workers",
                        "8"}) == "accepted");
  CHECK(train.request.model_path == "base");
  CHECK(train.request.tokenizer_path == "tok");
  CHECK(train.request.settings.per_device_train_batch_size == 4);
  CHECK(train.request.text->eval_fraction == 0.1);
  CHECK(train.request.precision == PrecisionName::bf16);
  CHECK(train.request.report.run_name == "first");
  CHECK(train.flags.collective_timeout() == 60);
  CHECK(train.request.settings.warmup_steps == 0.1);
  CHECK_FALSE(train.request.eval_only);
  CHECK(train.options.notes().size() == 11);
}

TEST_CASE("what changes results and cannot be done is refused, with what to do instead") {
  for (const auto& [words, part] : std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{"--optim", "adafactor"}, "only AdamW"},
           {{"--adafactor"}, "only AdamW"},
           {{"--push_to_hub"}, "hf upload"},
           {{"--push-to-hub=True"}, "hf upload"},
           {{"--group_by_length"}, "Leave the flag out"},
           {{"--fp16_full_eval"}, "Use --fp16"},
           {{"--bf16_full_eval"}, "Use --bf16"},
           {{"--dataloader_drop_last", "True"}, "smaller"},
           {{"--no_average_tokens_across_devices"}, "mean over the labels"},
           {{"--save_safetensors", "False"}, "pickles"},
           {{"--fsdp", "full_shard", "auto_wrap"}, "--zero_stage"},
           {{"--dataset_name", "wikitext"}, "--input"},
           {{"--use_cpu", "--device", "cuda"}, "give one"},
           {{"--no_cuda", "--device", "cuda"}, "give one"},
           {{"--do_train", "False"}, "--do_eval"},
           {{"--do_eval"}, "add --do_train"},
           {{"--do_predict"}, "--predictions_file"},
           {{"--data_seed", "3"}, "--seed"},
           {{"--max_eval_samples", "3"}, "--streaming_eval_samples"},
           {{"--validation_split_percentage", "x"}, "--validation_split_percentage: 'x' is not a number"},
           {{"--validation_split_percentage", "60"}, "0.6"},
           {{"--neftune_noise_alpha", "5"}, "no noise"}}) {
    const std::string message = after(words);
    CAPTURE(words.front());
    CHECK_MESSAGE(test::contains(message, part), message);
    CHECK(message.find('\n') == message.npos);
  }
}

TEST_CASE("--do_eval without --do_train evaluates only") {
  for (const std::vector<std::string>& words : {std::vector<std::string>{"--do_eval"},
                                                {"--do_eval", "True", "--no_do_train"},
                                                {"--do_eval", "--do_train=false"}}) {
    Train train;
    std::vector<std::string> with = words;
    with.insert(with.end(), {"--model_path", "m"});
    CHECK(train.complete(with) == "accepted");
    CHECK(train.request.eval_only);
  }
  Train both;
  CHECK(both.complete({"--do_train", "--do_eval", "--model_path", "m"}) == "accepted");
  CHECK_FALSE(both.request.eval_only);
}

TEST_CASE("--resume_from_checkpoint takes the words of a switch, as train() of the Trainer does") {
  Train yes, no;
  CHECK(yes.complete({"--resume_from_checkpoint", "True"}) == "accepted");
  CHECK(yes.request.resume_from_checkpoint == "latest");
  CHECK(no.complete({"--resume_from_checkpoint=False"}) == "accepted");
  CHECK_FALSE(no.request.resume_from_checkpoint);
}

TEST_CASE("a misspelled flag never suggests the opposite or another thing") {
  const auto suggested = [](const std::string& flag) {
    const std::string message = Train().parse({flag});
    const std::size_t at = message.find("did you mean ");
    return at == message.npos ? std::string() : message.substr(at + 13);
  };
  for (const auto& [typed, name] : std::vector<std::pair<std::string, std::string>>{
           {"--learnign_rate", "--learning_rate?"},
           {"--lerning-rate", "--learning_rate?"},
           {"--epochs", "--num_train_epochs?"},
           {"--batch_size", "--per_device_train_batch_size or --per_device_eval_batch_size?"},
           {"--train_batch_size", "--per_device_train_batch_size?"},
           {"--evel_steps", "--eval_steps?"},
           {"--evaluation_steps", "--eval_steps?"},
           {"--gradient_acumulation_steps", "--gradient_accumulation_steps?"},
           {"--maxsteps", "--max_steps?"},
           {"--ouput_dir", "--output_dir?"},
           {"--resume_from_checkpiont", "--resume_from_checkpoint?"},
           {"--lr_schedule_type", "--lr_scheduler_type?"},
           {"--eval_step", "--eval_steps?"},
           {"--logging_step", "--logging_steps?"},
           {"--gradient_accumulation_step", "--gradient_accumulation_steps?"},
           {"--label_smoothing", "--label_smoothing_factor?"},
           {"--load_best_model", "--load_best_model_at_end?"},
           {"--push_to_hubb", "--push_to_hub?"}}) {
    CAPTURE(typed);
    CHECK(suggested(typed) == name);
  }
  for (const char* typed : {"--cuda", "--gpu", "--no_bf16", "--train_steps", "--max_epochs", "--min_steps",
                            "--eval_epochs", "--adam_beta3", "--num_steps", "--no_eval_only", "--disable_checkpointing",
                            "--xyz", "--save_rate", "--load_steps", "--no_resume", "--unfreeze"}) {
    CAPTURE(typed);
    const std::string found = suggested(typed);
    CHECK_MESSAGE(found.empty(), found);
  }
  // A flag of the Trainer with one letter lost suggests that flag, or nothing.
  for (const ForeignFlag& flag : hugging_face_flags) {
    const std::string name = flag.name,
                      typed = "--" + name.substr(0, name.size() / 2) + name.substr(name.size() / 2 + 1);
    const std::string found = suggested(typed);
    const bool is_fine = found.empty() || test::contains(found, "--" + name + "?");
    CHECK_MESSAGE(is_fine, typed, " suggests ", found);
  }
}

TEST_CASE("a misspelled word of a choice suggests that word only") {
  const auto message = [](const std::vector<std::string>& words) { return Train().parse(words); };
  CHECK(message({"--lr_scheduler_type", "cosine_with_restart"}).ends_with("did you mean cosine_with_restarts?"));
  CHECK(message({"--lr_scheduler_type", "cosine-with-restarts"}).ends_with("did you mean cosine_with_restarts?"));
  CHECK(message({"--task", "sequence_classification"}).ends_with("did you mean sequence-classification?"));
  CHECK_FALSE(test::contains(message({"--precision", "fp64"}), "did you mean"));
  CHECK_FALSE(test::contains(message({"--precision", "int8"}), "did you mean"));
}
