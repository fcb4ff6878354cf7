#include <cmath>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "io/expect_error.hpp"
#include "moderngpt2/training/batch.hpp"
#include "moderngpt2/training/checkpoint/checkpoint_folder.hpp"
#include "moderngpt2/training/checkpoint/output_folder.hpp"
#include "moderngpt2/training/metrics.hpp"
#include "support/temporary_folder.hpp"
#include "training/tiny_run.hpp"

using namespace moderngpt2;
namespace fs = std::filesystem;

namespace {

/// A checkpoint with one file.
fs::path make_checkpoint(const fs::path& output, std::int64_t step, std::int64_t saved_at) {
  const fs::path target = output / ("checkpoint-" + std::to_string(step));
  AtomicFolder folder(target);
  write_file(folder.path() / "weights", "0123456789");
  TrainerState state;
  state.step = step;
  state.saved_at = saved_at;
  state.blocks = 10;
  state.files = {{"weights", 10, detail::hash_file(InputFile(folder.path() / "weights"))}};
  write_json_file(folder.path() / "trainer_state.json", to_json(state, TrainingSettings{}));
  folder.commit();
  return target;
}

}  // namespace

TEST_CASE("the newest complete checkpoint is found among leftovers") {
  test::TemporaryFolder temporary;
  const fs::path& out = temporary.path();
  std::vector<std::string> broken;
  const auto latest = [&] {
    broken.clear();
    const auto found = latest_checkpoint(out, [&](const std::string& line) { broken.push_back(line); });
    return found ? found->state.step : -1;
  };
  CHECK(latest() == -1);
  make_checkpoint(out, 20, 100);
  make_checkpoint(out, 9, 100);
  CHECK(latest() == 20);  // same second: ordered by step
  make_checkpoint(out, 10, 101);
  CHECK(latest() == 10);  // a later run that went on from an earlier step
  fs::create_directory(out / ".checkpoint-30.tmp");
  fs::create_directory(out / "checkpoint-31");
  fs::create_directory(out / "checkpoint-x");
  CHECK(latest() == 10);
  REQUIRE(broken.size() == 1);
  CHECK(test::contains(broken[0], "checkpoint-31"));

  write_file(out / "checkpoint-10" / "weights", "0123456780");  // a changed bit: found by the hash
  CHECK(latest() == 20);
  CHECK(test::contains(broken.back(), "damaged"));
  CHECK_ERROR(verify_checkpoint(open_checkpoint(out / "checkpoint-10")), "weights", "damaged");
  write_file(out / "checkpoint-20" / "weights", "01234");  // cut short
  CHECK(latest() == 9);
  CHECK_ERROR(open_checkpoint(out / "checkpoint-20"), "weights", "5 bytes instead of 10");
  fs::remove(out / "checkpoint-9" / "weights");
  CHECK(latest() == -1);
  CHECK_ERROR(open_checkpoint(out / "checkpoint-9"), "weights is missing");
  CHECK_ERROR(open_checkpoint(out / "checkpoint-8"), "trainer_state.json");
}

TEST_CASE("a folder replaces what a killed save left, and one of the same name") {
  test::TemporaryFolder temporary;
  const fs::path target = temporary / "checkpoint-5";
  fs::create_directory(temporary / ".checkpoint-5.tmp");
  write_file(temporary / ".checkpoint-5.tmp" / "old", "x");
  fs::create_directory(target);
  write_file(target / "partial", "x");
  make_checkpoint(temporary.path(), 5, 1);
  CHECK(fs::exists(target / "weights"));
  CHECK_FALSE(fs::exists(target / "old"));
  CHECK_FALSE(fs::exists(target / "partial"));
  CHECK_FALSE(fs::exists(temporary / ".checkpoint-5.tmp"));
  try {
    AtomicFolder folder(target);
    write_file(folder.path() / "new", "x");
    throw Error("disk full");
  } catch (const Error&) {
  }
  CHECK(fs::exists(target / "weights"));
  CHECK_FALSE(fs::exists(temporary / ".checkpoint-5.tmp"));
}

TEST_CASE("rotation deletes the oldest, never the one just saved") {
  test::TemporaryFolder temporary;
  const fs::path& out = temporary.path();
  for (int step : {1, 2, 3, 4}) make_checkpoint(out, step, 100 + step);
  rotate_checkpoints(out, 2, out / "checkpoint-4");
  CHECK_FALSE(fs::exists(out / "checkpoint-2"));
  CHECK(fs::exists(out / "checkpoint-3"));
  CHECK(fs::exists(out / "checkpoint-4"));
  fs::create_directories(out / ".checkpoint-2.tmp" / "part");  // an earlier deletion that did not end
  rotate_checkpoints(out, 1, out / "checkpoint-3");
  CHECK(folder_entries(out) == std::vector{out / "checkpoint-3"});
}

TEST_CASE("an output folder belongs to one run, and must be writable and large enough") {
  test::TemporaryFolder temporary;
  fs::create_directory(temporary / ".checkpoint-3.tmp");
  write_file(temporary / ".model.safetensors.314-0.tmp", "x");
  write_file(temporary / ".mine.tmp", "x");
  {
    OutputFolder first(temporary.path(), 0);
    CHECK_FALSE(fs::exists(temporary / ".checkpoint-3.tmp"));
    CHECK_FALSE(fs::exists(temporary / ".model.safetensors.314-0.tmp"));
    CHECK(fs::exists(temporary / ".mine.tmp"));
    CHECK_ERROR(OutputFolder(temporary.path(), 0), "in use");
  }
  OutputFolder again(temporary / "a" / "b" / "c", 0);
  CHECK(fs::is_empty(temporary / "a" / "b" / "c"));
  CHECK_ERROR(OutputFolder(temporary / "big", std::uint64_t{1} << 60), "the disk has");
  write_file(temporary / "file", "x");
  CHECK_ERROR(OutputFolder(temporary / "file", 0), "file");
  CHECK_ERROR(OutputFolder(temporary / "file" / "under", 0), "file");
}

TEST_CASE("a state survives its file, unknown fields too") {
  TrainerState state;
  state.step = 12;
  state.position = {2, 5};
  state.blocks = 10;
  state.seed = ~std::uint64_t{0};
  state.logged_loss_sum = 0.1 + 0.2;
  state.run_name = "run";
  state.files = {{"a", 1, "b"}};
  state.best = {.name = "loss", .metric = 3, .step = 8, .saved_metric = 4, .saved_step = 6, .without_improvement = 0};
  state.json = parse_json(R"({"best_metric": 9, "trial_name": 3, "of_others": [1]})", "t");
  Json json = parse_json(to_json(state, TrainingSettings{}).dump(), "t");
  const TrainerState back = parse_trainer_state(json, "t");
  CHECK(back.step == 12);
  CHECK(back.position.epoch == 2);
  CHECK(back.position.samples == 5);
  CHECK(back.seed == state.seed);
  CHECK(back.logged_loss_sum == state.logged_loss_sum);
  CHECK(back.epoch() == 2.5);
  CHECK(back.run_name == "run");
  CHECK(json["trial_name"] == 3);
  CHECK(json["of_others"].size() == 1);
  CHECK(back.best.saved_step == 6);
  CHECK(back.best.saved_metric == 4);
  json["moderngpt2"]["best_saved_metric"] = nullptr;  // a step without its metric has no meaning
  CHECK(parse_trainer_state(json, "t").best.saved_step == 0);
  state.logged_loss_sum = NAN;
  CHECK(
      std::isnan(parse_trainer_state(parse_json(to_json(state, TrainingSettings{}).dump(), "t"), "t").logged_loss_sum));
  json["global_step"] = -1;
  CHECK_ERROR(parse_trainer_state(json, "t"), "global_step");
  json.erase("moderngpt2");
  CHECK_ERROR(parse_trainer_state(json, "t"), "another program");
}

TEST_CASE("each field of a state is checked, and named") {
  TrainerState state;
  state.step = 12, state.blocks = 10, state.position = {1, 2}, state.updates = 12, state.run_name = "run";
  state.files = {{"a", 1, "b"}};
  state.log_history = parse_json(R"([{"step": 3, "loss": 1}, {"step": 12, "eval_loss": null}])", "t");
  const Json good = to_json(state, TrainingSettings{});
  CHECK(parse_trainer_state(good, "t").log_history.size() == 2);
  const auto top = [&](const char* key, const Json& value) {
    Json json = good;
    json[key] = value;
    return parse_trainer_state(json, "t");
  };
  const auto own = [&](const char* key, const Json& value) {
    Json json = good;
    json["moderngpt2"][key] = value;
    return parse_trainer_state(json, "t");
  };
  constexpr std::int64_t huge = INT64_MAX;
  CHECK_ERROR(own("optimizer_updates", huge), "t: optimizer_updates is 9223372036854775807", "from 0 to 12");
  CHECK_ERROR(own("optimizer_updates", 13), "optimizer_updates");
  for (const char* key : {"epoch", "samples_in_epoch", "skipped_steps", "skipped_in_a_row", "train_blocks",
                          "block_size", "logged_steps", "saved_at"}) {
    CAPTURE(key);
    CHECK_ERROR(own(key, huge), "t: ", key);
    CHECK_ERROR(own(key, -1), "t: ", key);
    CHECK_ERROR(own(key, "x"), "t: ", key);
    CHECK_ERROR(own(key, nullptr), "t: ", key);
  }
  for (const char* key : {"global_step", "max_steps", "num_input_tokens_seen"}) {
    CAPTURE(key);
    CHECK_ERROR(top(key, huge), "t: ", key);
    CHECK_ERROR(top(key, 1.5), "t: ", key);
  }
  CHECK_ERROR(top("total_flos", -1), "total_flos");
  CHECK_ERROR(top("total_flos", "x"), "total_flos");
  for (const char* entry : {R"([{"step": "x"}])", R"([{"loss": 1}])", R"([3])", R"([{"step": 13}])",
                            R"([{"step": -1}])", R"([{"step": 1.5}])", R"([null])"}) {
    CAPTURE(entry);
    CHECK_ERROR(top("log_history", parse_json(entry, "e")), "t: log_history[0]");
  }
  CHECK_ERROR(top("log_history", 3), "log_history must be a list");
  for (const char* name : {"../../x", "/any/path", "..", ".", "a/b", "a\nb"}) {
    CAPTURE(name);
    CHECK_ERROR(own("run_name", name), "t: run_name is ", "not a path");
    CHECK_ERROR(own("files", Json::array({Json{{"name", name}, {"bytes", 1}, {"xxh3", "b"}}})), "plain file name");
  }
  CHECK_ERROR(own("files", Json::array()), "files");
  CHECK_ERROR(own("files", Json::array({3})), "t: ");
  CHECK_ERROR(own("loss_scale", Json{{"scale", 0}, {"good_steps", 0}, {"overflows_left", 1}}), "loss_scale");
  CHECK_ERROR(own("settings", 3), "settings");
  CHECK_ERROR(own("settings", Json{{"a", 3}}), "settings");
  CHECK_ERROR(top("moderngpt2", 3), "t: ");
}

TEST_CASE("a checkpoint is newer than all that were there before it, even if a clock was wrong") {
  test::TemporaryFolder temporary;
  const fs::path& out = temporary.path();
  const std::int64_t now = next_save_time(out, 3), future = now + 1'000'000'000;
  CHECK(now > 1'700'000'000);
  make_checkpoint(out, 10, future);
  CHECK(next_save_time(out, 3) == future + 1);  // a fresh run in the same folder
  CHECK(next_save_time(out, 11) == future);
  make_checkpoint(out, 3, next_save_time(out, 3));
  CHECK(latest_checkpoint(out, [](const std::string&) {})->state.step == 3);
}

TEST_CASE("steps of newer checkpoints that cannot be used are counted, and one of the weights alone is not resumed") {
  test::TemporaryFolder temporary;
  const fs::path& out = temporary.path();
  const auto ignore = [](const std::string&) {};
  CHECK(last_unusable_step(out, std::nullopt) == 0);
  make_checkpoint(out, 10, 100);
  make_checkpoint(out, 40, 50);  // complete, of an older run
  make_checkpoint(out, 20, 101);
  make_checkpoint(out, 30, 102);
  CHECK(last_unusable_step(out, latest_checkpoint(out, ignore)) == 0);
  write_file(out / "checkpoint-30" / "weights", "01234");
  CHECK(last_unusable_step(out, latest_checkpoint(out, ignore)) == 30);
  write_file(out / "checkpoint-20" / "weights", "0123456780");
  const auto found = latest_checkpoint(out, ignore);
  CHECK(found->state.step == 10);
  CHECK(last_unusable_step(out, found) == 30);

  CHECK_ERROR(require_optimizer_files(*found), "checkpoint-10", "no files of the optimizer", "model_path");
  CHECK_FALSE(latest_checkpoint(out, ignore, true));
  TrainerState state;
  state.files = {{"optimizer.safetensors", 3, ""}};
  write_json_file(out / "checkpoint-10" / "trainer_state.json", to_json(state, TrainingSettings{}));
  CHECK_ERROR(open_checkpoint(out / "checkpoint-10"), "optimizer.safetensors is missing", "model_path");
  fs::create_directory(out / "model");
  write_file(out / "model" / "config.json", "{}");
  CHECK_ERROR(open_checkpoint(out / "model"), "trainer_state.json is missing", "model_path");
}

TEST_CASE("metrics continue after the resumed step") {
  test::TemporaryFolder temporary;
  const fs::path path = temporary / "metrics.jsonl";
  {
    MetricsFile file(path);
    for (int step : {10, 20, 30}) file.add(Json{{"step", step}, {"loss", step == 20 ? NAN : 1.5}});
  }
  CHECK(test::contains(read_file(path), R"({"step":20,"loss":null})"));
  write_file(path, read_file(path) + R"({"step":15,"lo)");
  { MetricsFile(path, 20, Json::array()).add(Json{{"step", 25}}); }
  CHECK(read_file(path) == "{\"step\":10,\"loss\":1.5}\n{\"step\":20,\"loss\":null}\n{\"step\":25}\n");
  fs::remove(path);
  { MetricsFile(path, 20, parse_json(R"([{"step":10}])", "t")); }
  CHECK(read_file(path) == "{\"step\":10}\n");
  { MetricsFile(path, 20, parse_json(R"([{"step":10},{"step":20}])", "t")); }  // a line was lost
  CHECK(read_file(path) == "{\"step\":10}\n{\"step\":20}\n");
  { MetricsFile{path}; }
  CHECK(read_file(path).empty());
}

TEST_CASE("a batch labels what is not padding") {
  test::TemporaryFolder temporary;
  const DatasetSplits data = test::make_data(temporary.path(), 6, 2, 16);  // block i has 5 i mod 16 pads
  TokenBatch batch(4, 16, 0);
  batch.load(data.train, 3, [](std::int64_t i) { return i + 1; });
  CHECK(batch.rows() == 3);
  CHECK(batch.valid() == 15 * 3 - 5 - 10 - 15);
  CHECK(batch.labels(0)[10] == batch.ids(0)[10]);
  CHECK(batch.labels(0)[11] == ignored_label);
  CHECK(batch.ids(0)[11] == 0);
  CHECK(batch.mask(0) == nullptr);
  TokenBatch all(4, 16, std::nullopt);
  all.load(data.train, 4, [](std::int64_t i) { return i; });
  CHECK(all.valid() == 15 * 4);
  Config c = test::tiny_config();
  CHECK(unlabelled_id(c) == 0);
  c.pad_token_id = c.eos_token_id;
  CHECK_FALSE(unlabelled_id(c));
  c.pad_token_id.reset();
  CHECK_FALSE(unlabelled_id(c));
}
