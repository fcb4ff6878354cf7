#include <filesystem>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "io/expect_error.hpp"
#include "moderngpt2/io/checkpoint_files.hpp"
#include "moderngpt2/io/config_file.hpp"
#include "moderngpt2/io/gemma2.hpp"
#include "moderngpt2/io/query_scale.hpp"
#include "moderngpt2/model/heads.hpp"
#include "support/temporary_folder.hpp"
#include "training/rank_run.hpp"
#include "training/tiny_run.hpp"

namespace save_format_test {

using namespace moderngpt2;
namespace fs = std::filesystem;
using TrainedModel = CausalLM<any_shape>;

Config scaled_config() {
  Config config = test::tiny_config();
  config.query_pre_attn_scalar = 0.3;
  return config;
}

/// Checks that a gemma2 folder has the weights of another folder, with scaled queries and the original ones beside.
void check_export(const fs::path& folder, const fs::path& model) {
  const ConfigFile config = read_config(folder);
  CHECK(config.model_type == "gemma2");
  CHECK(!config.config.query_pre_attn_scalar);
  const CheckpointTensors exported(folder), before(model), originals(folder / original_queries_name);
  const double factor = query_factor(scaled_config());
  CHECK(exported.tensors().size() == before.tensors().size());
  for (const TensorInfo& info : before.tensors()) {
    std::vector<float> expected = before.read_vector<float>(info.name);
    if (is_query_tensor(info.name)) {
      CHECK(originals.read_vector<float>(info.name) == expected);
      for (float& w : expected) w = float(double(w) * factor);
    }
    CHECK_MESSAGE(exported.read_vector<float>(gemma2_name(info.name)) == expected, info.name);
  }
}

TEST_CASE("the final model is written as gemma2 beside or instead, checkpoints keep their format") {
  const TrainAndEval data = test::full_blocks();
  for (const auto& [ranks, stage] : {std::pair(1, 1), std::pair(2, 3)}) {
    CAPTURE(stage);
    const test::TemporaryFolder temporary;
    test::RankRun<TrainedModel> run{.data = data, .output_dir = temporary / "both", .max_steps = 2};
    run.config = scaled_config();
    run.adjust = [](TrainingSettings& s) { s.save_format = SaveFormat::both; };
    CHECK(run(ranks, stage).thrown.empty());
    CHECK(read_config(temporary / "both").model_type == "moderngpt2");
    check_export(temporary / "both" / "gemma2", temporary / "both");

    run.output_dir = temporary / "gemma2";
    run.adjust = [](TrainingSettings& s) { s.save_format = SaveFormat::gemma2; };
    CHECK(run(ranks, stage).thrown.empty());
    check_export(temporary / "gemma2", temporary / "both");
    CHECK(read_config(temporary / "gemma2" / "checkpoint-2").model_type == "moderngpt2");
  }
}

TEST_CASE("a model that Gemma 2 cannot express is refused before the training") {
  const TrainAndEval data = test::full_blocks();
  const test::TemporaryFolder temporary;
  TrainingSettings settings = test::tiny_settings(temporary / "out");
  settings.save_format = SaveFormat::both;
  Config config = test::tiny_config();
  config.rms_norm_eps = 0;
  TrainedModel model(config, cpu::Backend(1));
  CHECK_ERROR(Trainer(model, data, {}, settings), "save_format", "rms_norm_eps is 0");
  CHECK(!fs::exists(temporary / "out"));
}

}  // namespace save_format_test
