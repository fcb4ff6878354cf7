#include <cstddef>
#include <filesystem>
#include <string>

#include <doctest/doctest.h>

#include "io/expect_error.hpp"
#include "run/run_fixture.hpp"

using namespace moderngpt2;
namespace fs = std::filesystem;

namespace {

/// A run of six steps with checkpoints 3 and 6, of which 3 is left.
struct StoppedRun : test::RunFixture {
  fs::path out = request.settings.output_dir, state = out / "checkpoint-3" / "trainer_state.json";

  StoppedRun() {
    request.settings.eval_steps = 3;
    CHECK(run() == 0);
    fs::remove_all(out / "checkpoint-6");
    request.resume_from_checkpoint = "latest";
  }
  template <class Change>
  void edit(Change&& change) const {
    Json json = read_json_file(state);
    change(json);
    write_json_file(state, json);
  }
};

}  // namespace

TEST_CASE("a resumed run says what changed, and refuses other data") {
  StoppedRun f;
  f.request.settings.learning_rate = 1e-3;
  f.request.settings.max_steps = 5;
  CHECK(f.run() == 0);
  const std::string text = f.text();
  CHECK(test::contains(text, "changed since the checkpoint: learning_rate was 0.01 and is now 0.001"));
  CHECK(test::contains(text, "changed since the checkpoint: the last step was 6 and is now 5"));
  CHECK(f.run() == 0);  // continues checkpoint-5, which has these settings
  CHECK_FALSE(test::contains(f.text(), "changed since"));

  test::write_blocks(f.temporary / "data", 50, 16, 99);
  CHECK_ERROR(f.run(), "checkpoint-5", "other data of the same size", "model_path");
  test::write_blocks(f.temporary / "data", 50, 16);
  test::write_blocks(f.temporary / "data" / "eval", 7, 16, 98);
  CHECK(f.run() == 0);
  CHECK(test::contains(f.text(), "the evaluation data"));
}

TEST_CASE("latest that falls back says how many steps are lost; weights alone are not resumed") {
  StoppedRun f;
  f.request.settings.max_steps = 6;
  CHECK(f.run() == 0);
  fs::resize_file(f.out / "checkpoint-6" / "model.safetensors", 10);
  CHECK(f.run() == 0);
  CHECK(test::contains(f.text(), "checkpoint-6 cannot be used: continuing from step 3, 3 steps are lost"));

  f.request.resume_from_checkpoint = (f.out / "checkpoint-3").string();
  fs::remove(f.out / "checkpoint-3" / "optimizer.safetensors");
  CHECK_ERROR(f.run(), "checkpoint-3", "optimizer.safetensors is missing", "model_path");
  f.edit([](Json& json) {
    Json& files = json["moderngpt2"]["files"];
    for (std::size_t i = files.size(); i-- > 0;)
      if (files[i]["name"] == "optimizer.safetensors") files.erase(i);
  });
  CHECK_ERROR(f.run(), "checkpoint-3", "no files of the optimizer", "model_path");
}

TEST_CASE("a name from a checkpoint is never a path") {
  StoppedRun f;
  f.request.report.to = ReportTo::tensorboard;
  const fs::path outside = f.temporary / "outside";
  for (const std::string& name : {outside.string(), std::string("../../outside")}) {
    f.edit([&](Json& json) { json["moderngpt2"]["run_name"] = name; });
    f.request.resume_from_checkpoint = (f.out / "checkpoint-3").string();
    CHECK_ERROR(f.run(), "trainer_state.json: run_name is ");
    CHECK_FALSE(fs::exists(outside));
    CHECK_FALSE(fs::exists(f.out / "runs"));
  }
}
