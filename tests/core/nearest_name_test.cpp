#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/core/nearest_name.hpp"

using namespace moderngpt2;

namespace {

const std::vector<std::string> flags{"max_steps",
                                     "num_train_epochs",
                                     "per_device_train_batch_size",
                                     "per_device_eval_batch_size",
                                     "eval_steps",
                                     "save_steps",
                                     "warmup_steps",
                                     "learning_rate",
                                     "adam_beta1",
                                     "adam_beta2",
                                     "cuda_graph",
                                     "gradient_checkpointing",
                                     "no_gradient_checkpointing",
                                     "input",
                                     "eval_input",
                                     "output_dir",
                                     "save_total_limit",
                                     "max_grad_norm",
                                     "logging_steps",
                                     "seed"};

std::string nearest(const std::string& typed) { return detail::nearest_name(typed, flags); }

}  // namespace

TEST_CASE("misspelled and partial names are recognized") {
  for (const auto& [typed, name] :
       std::vector<std::pair<std::string, std::string>>{{"max_step", "max_steps"},
                                                        {"max-steps", "max_steps"},
                                                        {"maxsteps", "max_steps"},
                                                        {"epochs", "num_train_epochs"},
                                                        {"num_epochs", "num_train_epochs"},
                                                        {"train_batch_size", "per_device_train_batch_size"},
                                                        {"per_device_eval_batchsize", "per_device_eval_batch_size"},
                                                        {"evel_steps", "eval_steps"},
                                                        {"svae_steps", "save_steps"},
                                                        {"lerning_rate", "learning_rate"},
                                                        {"learnign_rate", "learning_rate"},
                                                        {"beta1", "adam_beta1"},
                                                        {"gradient_check_pointing", "gradient_checkpointing"},
                                                        {"no_gradient_checkpoint", "no_gradient_checkpointing"},
                                                        {"evaluation_steps", "eval_steps"},
                                                        {"training_batch_size", "per_device_train_batch_size"},
                                                        {"ouput_dir", "output_dir"},
                                                        {"grad_norm", "max_grad_norm"},
                                                        {"sede", "seed"}}) {
    CAPTURE(typed);
    CHECK(nearest(typed) == name);
  }
  CHECK(detail::nearest_names("batch_size", flags) ==
        std::vector<std::string>{"per_device_train_batch_size", "per_device_eval_batch_size"});
  CHECK(detail::did_you_mean({"a", "b", "c"}, "--") == "; did you mean --a, --b or --c?");
}

TEST_CASE("a name of another meaning is never suggested") {
  for (const char* typed : {"no_cuda",
                            "cuda",
                            "no_seed",
                            "train_steps",
                            "min_steps",
                            "train_input",
                            "adam_beta3",
                            "max_epochs",
                            "steps",
                            "output",
                            "disable_checkpointing",
                            "save_rate",
                            "eval_epochs",
                            "",
                            "-",
                            "q",
                            "of",
                            "xyzzy",
                            "min_grad_norm",
                            "load_steps",
                            "no_checkpoint"}) {
    CAPTURE(typed);
    const std::string found = nearest(typed);
    const bool is_part = found == "output_dir" || found == "no_gradient_checkpointing";
    CHECK((found.empty() || is_part));
  }
  CHECK(nearest("no_cuda").empty());
  CHECK(nearest("train_steps").empty());
  CHECK(nearest("no_checkpoint") == "no_gradient_checkpointing");
  CHECK(detail::nearest_names("fp64", {"fp32", "fp16", "bf16"}).empty());
  CHECK(detail::nearest_name("cosin", {"linear", "cosine", "constant"}) == "cosine");
}
