/// Runs `pretokenize_dataset` and `train_tokenizer` while each call on a file fails; checks how much of a data set is
/// read.

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "faults/program.hpp"
#include "faults/sweep.hpp"
#include "support/temporary_folder.hpp"

using namespace moderngpt2::test;

namespace {

/// Text, a tokenizer, and the files of an undisturbed run.
struct DataFixture {
  TemporaryFolder temporary;
  fs::path text = temporary / "work/text", out = temporary / "work/out", log = temporary / "log",
           said = temporary / "said", tokenizer = temporary / "tokenizer", blocks = temporary / "blocks";

  DataFixture() {
    fs::create_directories(temporary / "work");
    made({"make_stories", "--output_path", text, "--documents", "60"});
    made(train_tokenizer(tokenizer));
    made(pretokenize(blocks));
  }
  void made(const std::vector<std::string>& command) const {
    const Ended ended = run(command, {}, said);
    REQUIRE_MESSAGE(ended.status == 0, ended.err);
  }
  std::vector<std::string> train_tokenizer(const fs::path& output) const {
    return {"train_tokenizer",
            "--input",
            text,
            "--output_path",
            output,
            "--vocab_size",
            "600",
            "--character_coverage",
            "0.99",
            "--num_threads",
            "1"};
  }
  std::vector<std::string> pretokenize(const fs::path& output) const {
    return {"pretokenize_dataset",
            "--input",
            text,
            "--tokenizer_path",
            tokenizer,
            "--output_path",
            output,
            "--block_size",
            "64",
            "--max_samples_per_shard",
            "60",
            "--eval_fraction",
            "0.1",
            "--num_proc",
            "1"};
  }
  Disturbed disturbed(std::vector<std::string> command) const {
    return {std::move(command), temporary / "work", log, said};
  }
};

const DataFixture& fixture() {
  static const DataFixture made;
  return made;
}

/// Content of the files under a folder, except hidden ones.
std::map<std::string, std::string> files_of(const fs::path& folder) {
  std::map<std::string, std::string> files;
  if (!fs::exists(folder)) return files;
  for (auto at = fs::recursive_directory_iterator(folder); at != fs::recursive_directory_iterator(); ++at) {
    if (at->path().filename().string().starts_with("."))
      at.disable_recursion_pending();
    else if (at->is_regular_file())
      files[fs::relative(at->path(), folder).string()] = content(at->path());
  }
  return files;
}

void sweep_pretokenize(const Kind& kind) {
  const DataFixture& f = fixture();
  const auto whole = files_of(f.blocks);
  sweep(
      "pretokenize_dataset", kind, f.disturbed(f.pretokenize(f.out)), [&] { fs::remove_all(f.out); },
      [&](const Ended& ended, const Hit&) {
        check_end(kind, ended, f.temporary / "work");
        // The output is a complete data set or empty, except after an interrupted publication: it then has no
        // metadata.yaml.
        for (const auto& file : files_of(f.out)) CHECK_MESSAGE(whole.at(file.first) == file.second, file.first);
        if (fs::exists(f.out / "metadata.yaml")) CHECK(files_of(f.out) == whole);
        if (ended.status != 0) {
          std::vector<std::string> again = f.pretokenize(f.out);
          again.push_back("--resume");
          const Ended resumed = run(again, {}, f.said);
          CAPTURE(resumed.err);
          CHECK(resumed.status == 0);
          CHECK_FALSE(fs::exists(f.out / ".unfinished"));
        }
        CHECK(files_of(f.out) == whole);
      });
}

void sweep_train_tokenizer(const Kind& kind) {
  const DataFixture& f = fixture();
  const auto whole = files_of(f.tokenizer);
  sweep(
      "train_tokenizer", kind, f.disturbed(f.train_tokenizer(f.out)), [&] { fs::remove_all(f.out); },
      [&](const Ended& ended, const Hit&) {
        check_end(kind, ended, f.temporary / "work");
        for (const auto& file : files_of(f.out)) CHECK_MESSAGE(whole.at(file.first) == file.second, file.first);
        if (fs::exists(f.out / "tokenizer.json")) CHECK(files_of(f.out) == whole);
        if (ended.status == 0) CHECK(files_of(f.out) == whole);
      });
}

}  // namespace

TEST_CASE("pretokenize_dataset ends in one line or goes on, and resumes to the same bytes") {
  for (const Kind& kind : {interrupted_calls, short_calls, io_error, disk_full, killed, killed_in_write, power_lost})
    sweep_pretokenize(kind);
}

TEST_CASE("train_tokenizer writes whole files, the tokenizer.json last") {
  for (const Kind& kind : {interrupted_calls, short_calls, io_error, disk_full, killed, killed_in_write, power_lost})
    sweep_train_tokenizer(kind);
}
