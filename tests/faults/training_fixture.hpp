#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "faults/program.hpp"
#include "faults/sweep.hpp"
#include "support/temporary_folder.hpp"

namespace moderngpt2::test {

/// Log of training without values that depend on the clock and the machine.
inline nlohmann::json timeless(nlohmann::json line) {
  for (const char* field : {"tokens_per_second", "matmul_utilization", "data_wait", "resident_bytes", "seconds_left"})
    line.erase(field);
  return line;
}
inline nlohmann::json timeless_lines(const fs::path& path) {
  nlohmann::json lines = nlohmann::json::array();
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);)
    lines.push_back(timeless(nlohmann::json::parse(line, nullptr, false)));
  return lines;
}
inline nlohmann::json timeless_state(const fs::path& path) {
  nlohmann::json state = nlohmann::json::parse(content(path), nullptr, false);
  if (!state.is_object()) return {};
  state["moderngpt2"].erase("saved_at");
  for (const char* own : {"output_dir", "save_total_limit"}) state["moderngpt2"]["settings"].erase(own);
  for (auto& line : state["log_history"]) line = timeless(line);
  return state;
}

/// Fixture: text, a tokenizer, blocks of 16 tokens and a tiny model, made by the programs, and a run of four steps with
/// two saves, of which the second deletes the first.
struct TrainingFixture {
  TemporaryFolder temporary;
  fs::path out = temporary / "work/out", log = temporary / "log", said = temporary / "said";
  fs::path whole = temporary / "whole";  ///< output of an undisturbed run
  fs::path all = temporary / "all";      ///< output of an undisturbed run that keeps both checkpoints

  TrainingFixture() {
    const auto made = [&](const std::vector<std::string>& command) {
      const Ended ended = run(command, {}, said);
      REQUIRE_MESSAGE(ended.status == 0, ended.err);
    };
    fs::create_directories(temporary / "work");
    made({"make_stories", "--output_path", temporary / "text", "--documents", "40"});
    made({"train_tokenizer", "--input", temporary / "text", "--output_path", temporary / "work/tokenizer",
          "--vocab_size", "600", "--character_coverage", "0.99", "--num_threads", "1"});
    made({"pretokenize_dataset", "--input", temporary / "text", "--tokenizer_path", temporary / "work/tokenizer",
          "--output_path", temporary / "work/blocks", "--block_size", "16", "--max_samples_per_shard", "400",
          "--eval_fraction", "0.005", "--num_proc", "1"});
    std::ofstream(temporary / "work/config.json")
        << R"({"model_type": "moderngpt2", "vocab_size": 600, "n_embd": 8, "n_layer": 1, "n_head": 2,)"
        << R"( "intermediate_size": 16, "n_positions": 64})";
    made(command(whole));
    auto keeping = command(all);
    *(std::find(keeping.begin(), keeping.end(), "--save_total_limit") + 1) = "2";
    made(keeping);
  }

  std::vector<std::string> command(const fs::path& output, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> words{"train",
                                   "--config_file",
                                   temporary / "work/config.json",
                                   "--tokenizer_path",
                                   temporary / "work/tokenizer",
                                   "--pre_tokenized_dataset_path",
                                   temporary / "work/blocks",
                                   "--max_steps",
                                   "4",
                                   "--save_steps",
                                   "2",
                                   "--save_total_limit",
                                   "1",
                                   "--logging_steps",
                                   "1",
                                   "--eval_steps",
                                   "2",
                                   "--per_device_train_batch_size",
                                   "2",
                                   "--threads",
                                   "1",
                                   "--report_to",
                                   "tensorboard",
                                   "--sample_prompts",
                                   "a",
                                   "--sample_tokens",
                                   "2",
                                   "--output_dir",
                                   output};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  Disturbed disturbed(std::vector<std::string> words) const {
    return {std::move(words), temporary / "work", log, said};
  }
  std::vector<std::string> resume() const { return command(out, {"--resume_from_checkpoint", "latest"}); }

  /// Files of a model folder; a checkpoint has more.
  static std::set<std::string> names(const fs::path& folder) {
    std::set<std::string> found;
    for (const auto& entry : fs::directory_iterator(folder)) found.insert(entry.path().filename().string());
    return found;
  }

  /// Checks that every file of a checkpoint of `out` equals that of the undisturbed run.
  void check_checkpoint(const fs::path& found, const fs::path& expected) const {
    CHECK(names(found) == names(expected));
    for (const std::string& name : names(expected)) {
      if (name == "trainer_state.json")
        CHECK(timeless_state(found / name) == timeless_state(expected / name));
      else
        CHECK_MESSAGE(content(found / name) == content(expected / name), (found / name).string());
    }
  }

  /// Checks that `out` equals the output of an undisturbed run.
  void check_finished() const {
    for (const std::string& name : names(whole)) CHECK_MESSAGE(fs::exists(out / name), name, " is missing");
    for (const std::string& name : names(out)) CHECK_MESSAGE(fs::exists(whole / name), name, " is left over");
    check_checkpoint(out / "checkpoint-4", whole / "checkpoint-4");
    for (const std::string& name : names(whole))
      if (fs::is_regular_file(whole / name) && name != "metrics.jsonl" && name != "report.html")
        CHECK_MESSAGE(content(out / name) == content(whole / name), name);
    CHECK(timeless_lines(out / "metrics.jsonl") == timeless_lines(whole / "metrics.jsonl"));
  }
};

}  // namespace moderngpt2::test
