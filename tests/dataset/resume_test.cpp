#include <chrono>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <random>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include <doctest/doctest.h>

#include "dataset/pretokenize_fixture.hpp"
#include "moderngpt2/data/pretokenize.hpp"

using namespace moderngpt2;
using namespace moderngpt2::test;

namespace {

struct ResumeFixture : PretokenizeFixture {
  std::vector<std::string> notes;
  std::vector<std::string> expected;  // files of an uninterrupted run

  ResumeFixture() {
    options.max_samples_per_shard = 20;
    options.eval_fraction = 0.3;
    options.num_threads = 2;
    options.note = [this](const std::string& line) { notes.push_back(line); };
    std::string korean;  // one document that is longer than several shards, and one that ends with its shard
    korean += "{\"text\": \"" + std::string(3000, 'k') + "\"}\n{\"text\": \"" + std::string(15, 'k') + "\"}\n";
    for (int i = 0; i < 40; ++i) korean += fmt::format("{{\"text\": \"abc {}\"}}\n", std::string(i % 19, 'z'));
    write_bytes(folder / "t-ko.jsonl", korean);
    options.output_path = folder / "whole";
    run();
    expected = contents(folder / "whole");
    options.output_path = folder / "out";
    options.resume = true;
  }

  /// Runs until `documents` are done, then stops like Ctrl-C.
  void run_until(std::int64_t documents) {
    const auto stop = [&](const PretokenizeProgress& now) {
      if (now.documents >= documents) throw Error("stopped");
    };
    CHECK_THROWS_WITH_AS(pretokenize(tokenizer(), options, stop), "stopped", Error);
  }

  std::string error() {
    try {
      run();
    } catch (const Error& refused) {
      return refused.what();
    }
    return "ran";
  }
};

}  // namespace

TEST_CASE_FIXTURE(ResumeFixture, "a run stopped anywhere goes on, with the same bytes, counts and progress") {
  const std::int64_t documents = 300 + 71 + 42;
  for (std::int64_t at = 1; at < documents; at += at < 12 ? 1 : 29) {
    CAPTURE(at);
    std::filesystem::remove_all(folder / "out");
    run_until(at);
    run_until(std::min(at + 5, documents));
    notes.clear();
    PretokenizeProgress last;
    const DatasetMetadata metadata =
        pretokenize(tokenizer(), options, [&](const PretokenizeProgress& now) { last = now; });
    CHECK(contents(folder / "out") == expected);
    CHECK(last.documents == documents);
    CHECK(last.bytes_read == last.total_bytes);
    CHECK(notes.size() == 1);
    CHECK(metadata.languages.size() == 3);
  }
}

TEST_CASE_FIXTURE(ResumeFixture, "a run killed ten times at random moments gives the same bytes") {
  std::mt19937 random(static_cast<unsigned>(::getpid()));
  const auto child_run = [&] { pretokenize(tokenizer(), options, [](const PretokenizeProgress&) { ::usleep(50); }); };
  for (int kills = 0; kills < 10;) {
    const pid_t child = fork();
    if (child == 0) {
      child_run();
      _exit(0);
    }
    std::this_thread::sleep_for(std::chrono::microseconds(1000 + random() % 40000));
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    if (WIFSIGNALED(status))
      ++kills;
    else
      std::filesystem::remove_all(folder / "out");  // the run was complete: starts from the beginning
  }
  run();
  CHECK(contents(folder / "out") == expected);
}

TEST_CASE_FIXTURE(ResumeFixture, "a run killed while it published goes on, or is undone by one that starts anew") {
  run();
  const auto restart = [&](bool cut) {
    std::filesystem::remove_all(folder / "half");
    std::filesystem::copy(folder / "out", folder / "half", std::filesystem::copy_options::recursive);
    const std::filesystem::path hidden = folder / "half/.unfinished";
    std::filesystem::create_directories(hidden / "eval");
    std::filesystem::rename(folder / "half/metadata.yaml", hidden / "metadata.yaml");
    std::filesystem::rename(folder / "half/eval/shard_00001.parquet", hidden / "eval/shard_00001.parquet");
    const std::vector<std::filesystem::path> train = find_shards(folder / "half");
    write_bytes(hidden / train.back().filename(), "the shard before its last blocks were taken");
    if (cut) std::filesystem::rename(train.back(), hidden / "cut.parquet");
    write_bytes(hidden / "publishing", "");
    options.output_path = folder / "half";
  };
  for (const bool cut : {true, false}) {
    restart(cut);
    run();
    CHECK(contents(folder / "half") == expected);
    restart(cut);
    options.resume = false;
    run();
    CHECK(contents(folder / "half") == expected);
    options.resume = true;
  }
}

TEST_CASE_FIXTURE(ResumeFixture, "what there is to resume is said") {
  run();
  REQUIRE(notes.size() == 1);
  CHECK(notes[0] == (folder / "out").string() + ": nothing to resume, starting from the beginning");
  run();
  REQUIRE(notes.size() == 2);
  CHECK(notes[1] == (folder / "out").string() + ": is complete, nothing is left to do");
  CHECK(contents(folder / "out") == expected);
  options.block_size = 32;
  CHECK(error().ends_with("holds a data set with blocks of 16 tokens, not 32: name another folder"));
  options.block_size = 16;

  options.output_path = folder / "stopped";
  run_until(200);
  CHECK(notes.back().find("finished shards are kept: resume continues after them") != std::string::npos);
  CHECK(std::filesystem::exists(folder / "stopped/.unfinished/state.json"));
  CHECK_FALSE(std::filesystem::exists(folder / "stopped/metadata.yaml"));
  run();
  CHECK(notes.back().find("continuing after") != std::string::npos);
  CHECK(contents(folder / "stopped") == expected);
}

TEST_CASE_FIXTURE(ResumeFixture, "another run than the unfinished one is refused, and what differs is named") {
  run_until(200);
  const PretokenizeOptions before = options;
  options.block_size = 32;
  CHECK(error().find("cannot resume the unfinished run there: block_size was 16 and is now 32") != std::string::npos);
  options = before;
  options.source.max_documents = 10;
  CHECK(error().find("max_input_lines_total was 0 and is now 10") != std::string::npos);
  options = before;
  options.source.inputs = {(folder / "t-en.jsonl").string(), (folder / "t-ja.jsonl").string()};
  CHECK(error().find("the input " + (folder / "t-ko.jsonl").string() + " is missing") != std::string::npos);
  options = before;
  const std::string japanese = read_bytes(folder / "t-ja.jsonl");
  write_bytes(folder / "t-ja.jsonl", japanese + "{}\n");
  CHECK(error().find("t-ja.jsonl had ") != std::string::npos);
  write_bytes(folder / "t-ja.jsonl", japanese);
  const std::string json = read_bytes(folder / "tokenizer/tokenizer.json");
  write_bytes(folder / "tokenizer/tokenizer.json", json + "\n");
  CHECK(error().find("the tokenizer's fingerprint was ") != std::string::npos);
  write_bytes(folder / "tokenizer/tokenizer.json", json);
  options.num_threads = 5;  // changes nothing
  CHECK(error() == "ran");
  CHECK(contents(folder / "out") == expected);
}

TEST_CASE_FIXTURE(ResumeFixture, "a state of an earlier version, with other languages, is refused") {
  run_until(200);
  const std::filesystem::path file = folder / "out/.unfinished/state.json";
  Json json = read_json_file(file);
  for (Json& input : json["inputs"]) input.erase("reading"), input.erase("content");
  Json languages = json["languages"];
  json["languages"] = Json::array({languages[0]});
  write_json_file(file, json);
  CHECK(error().find("its files now have other languages by their names") != std::string::npos);
  json["languages"] = languages;
  write_json_file(file, json);
  CHECK(error() == "ran");
  CHECK(contents(folder / "out") == expected);
}

TEST_CASE_FIXTURE(ResumeFixture, "moved input is the same input if its bytes are") {
  run_until(200);
  const std::filesystem::path scratch = folder / "scratch";
  std::filesystem::create_directory(scratch);
  for (const char* name : {"t-en.jsonl", "t-ja.jsonl", "t-ko.jsonl"})
    std::filesystem::rename(folder / name, scratch / name);
  options.source.inputs = {(scratch / "*.jsonl").string()};
  std::string japanese = read_bytes(scratch / "t-ja.jsonl");
  write_bytes(scratch / "t-ja.jsonl", std::string(japanese).replace(japanese.find("text"), 4, "tezt"));
  CHECK(error().find("with other content") != std::string::npos);
  write_bytes(scratch / "t-ja.jsonl", japanese);
  CHECK(error() == "ran");
  CHECK(contents(folder / "out") == expected);
}

TEST_CASE_FIXTURE(ResumeFixture, "large files are identified by parts of their content") {
  std::string text(6 << 20, 'x');
  const auto hash = [&] {
    write_bytes(folder / "large.txt", text);
    return detail::sampled_hash(folder / "large.txt");
  };
  const std::string before = hash();
  CHECK(hash() == before);
  for (const std::size_t at : {std::size_t{0}, text.size() - 1}) {
    text[at] = 'y';
    CHECK(hash() != before);
    text[at] = 'x';
  }
  text += 'x';
  CHECK(hash() != before);
  text.resize(1000);
  const std::string small = hash();
  text[500] = 'y';
  CHECK(hash() != small);
}

TEST_CASE_FIXTURE(ResumeFixture, "a state that is damaged, and a fresh start over an unfinished run") {
  run_until(200);
  const std::filesystem::path hidden = folder / "out/.unfinished";
  const std::string state = read_bytes(hidden / "state.json");
  write_bytes(hidden / "state.json", state.substr(0, 100));
  CHECK(error().find("state.json") != std::string::npos);
  write_bytes(hidden / "state.json", state);
  write_bytes(hidden / "shard_00000.parquet", "short");
  CHECK(error().find("shard_00000.parquet: missing or changed") != std::string::npos);
  options.resume = false;
  run();
  CHECK(contents(folder / "out") == expected);
}
