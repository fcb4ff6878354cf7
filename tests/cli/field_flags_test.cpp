#include <optional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "backend/user_activations.hpp"
#include "moderngpt2/backend/register_activation.hpp"
#include "moderngpt2/cli/model_flags.hpp"
#include "moderngpt2/cli/options.hpp"
#include "moderngpt2/run/request_fields.hpp"

using namespace moderngpt2;

TEST_CASE("each described setting with a section has a flag, under the heading of its section") {
  TrainingRequest request;
  Options options("train", "Trains.");
  for (const char* title : {"Training", "Model"}) options.section(title);
  options.add_all(request);
  int flags = 0;
  describe(request, [&](const auto&, const Field& field) { flags += *field.section != '\0'; });
  CHECK(options.table().rows.size() == std::size_t(flags));
  std::vector<std::string> headings;
  options.table().for_each_row([&](const std::string& title) { headings.push_back(title); }, [](const Option&) {});
  CHECK(headings ==
        std::vector<std::string>{"Training", "Model", "Data", "Optimizer", "Run", "Several processes", "Reports"});

  options.parse({"--learning_rate", "0.5", "--report_to=wandb", "--no_gradient_checkpointing", "--block_size=8"});
  CHECK(request.settings.learning_rate == 0.5);
  CHECK(request.report.to == ReportTo::wandb);
  CHECK(request.block_size == 8);
  CHECK_THROWS_WITH_AS(options.parse({"--max_steps=-2"}), "--max_steps: -2 is less than -1", UsageError);
  CHECK_THROWS_AS(options.parse({"--lr_scheduler_type=steps"}), UsageError);
  CHECK_THROWS_AS(options.parse({"--world_size=2"}), UsageError);  // defined by LauncherFlags
}

TEST_CASE("model flags set fields of config.json") {
  ModelFields fields;
  Options options("train", "Trains.");
  add_model_flags(options, fields);
  options.parse({"--n_layer=3", "--no_tie_word_embeddings", "--attn_logit_softcapping=0", "--activation_function",
                 "swish", "--rope_theta=500"});
  Json json = parse_json(R"({"model_type": "moderngpt2", "num_hidden_layers": 2, "hidden_act": "relu",
                             "attn_logit_softcapping": 5,
                             "rope_parameters": {"rope_theta": 7, "rope_type": "default"}})",
                         "c.json");
  fields.apply(json);
  const Config c = parse_config(json, "c.json").config;
  CHECK(c.n_layer == 3);
  CHECK_FALSE(c.tied_head);
  CHECK_FALSE(c.attn_logit_softcapping);
  CHECK(c.activation == Activation::silu);
  CHECK(c.rope_theta == 500);
  CHECK_THROWS_AS(options.parse({"--num_hidden_layers=3"}), UsageError);  // a key, not a flag

  register_activation<test::StarRelu>();
  options.parse({"--activation_function=star_relu"});
  fields.apply(json);
  CHECK(activation_name(parse_config(json, "c.json").config.activation) == "star_relu");

  options.parse({"--sliding_window=8", "--layer_types", "full_attention", "sliding_attention"});
  fields.apply(json);
  const Config windows = parse_config(json, "c.json").config;
  CHECK(windows.window(0) == 0);
  CHECK(windows.window(1) == 8);
  CHECK(windows.window(2) == 0);
  CHECK_THROWS_AS(options.parse({"--layer_types=sliding"}), UsageError);
  CHECK_THROWS_AS(options.parse({"--sliding_window=-1"}), UsageError);

  ModelFields misspelled;
  misspelled["n_layers"] = 3;
  CHECK_THROWS_AS(misspelled.apply(json), Error);
}
