/// Outputs that cannot be written, including standard output.

#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <string>
#include <sys/resource.h>
#include <unistd.h>
#include <vector>

#include <doctest/doctest.h>

#include "faults/program.hpp"
#include "faults/training_fixture.hpp"

using namespace moderngpt2::test;

namespace {

/// Checks that the command ends with status 1 and one line that contains `part`.
void check_refused(const TrainingFixture& f, const std::vector<std::string>& command, const std::string& part) {
  const Ended ended = run(command, {}, f.said);
  CAPTURE(command[0]);
  CAPTURE(ended.err);
  CHECK(ended.status == 1);
  CHECK(error_lines(ended.err).size() == 1);
  CHECK(ended.err.find(part) != ended.err.npos);
}

}  // namespace

TEST_CASE("what cannot be written to") {
  const TrainingFixture f;
  const auto pretokenize = [&](const fs::path& output) {
    return std::vector<std::string>{"pretokenize_dataset",
                                    "--input",
                                    f.temporary / "text",
                                    "--tokenizer_path",
                                    f.temporary / "work/tokenizer",
                                    "--output_path",
                                    output,
                                    "--block_size",
                                    "16"};
  };
  const auto train_tokenizer = [&](const fs::path& output) {
    return std::vector<std::string>{"train_tokenizer", "--input", f.temporary / "text", "--output_path", output};
  };
  std::ofstream(f.temporary / "file") << "x";
  fs::create_directory_symlink(f.temporary / "nowhere", f.temporary / "dangling");
  const fs::path long_name = f.temporary / std::string(300, 'n');
  for (const fs::path& output : {f.temporary / "file", f.temporary / "file" / "under", long_name}) {
    const std::string part = output == long_name ? std::string("nnn") : (f.temporary / "file").string();
    check_refused(f, f.command(output), part);
    check_refused(f, pretokenize(output), part);
    check_refused(f, train_tokenizer(output), part);
  }
  check_refused(f, f.command(f.temporary / "dangling"), "dangling");
  CHECK(content(f.temporary / "file") == "x");

  // A folder behind a link, and one whose name matches several languages.
  fs::create_directory(f.temporary / "real");
  fs::create_directory_symlink(f.temporary / "real", f.temporary / "link");
  CHECK(run(f.command(f.temporary / "link"), {}, f.said).status == 0);
  f.check_checkpoint(f.temporary / "real" / "checkpoint-4", f.whole / "checkpoint-4");
  const fs::path spoken = f.temporary / "two words, ünï, 日本";
  CHECK(run(f.command(spoken), {}, f.said).status == 0);
  f.check_checkpoint(spoken / "checkpoint-4", f.whole / "checkpoint-4");
}

TEST_CASE("a file over the user's limit is an error of one line, and nothing half-written stays") {
  const TrainingFixture f;
  const auto limited = [] {
    const rlimit limit{6000, 6000};
    setrlimit(RLIMIT_FSIZE, &limit);
  };
  const auto check = [&](const std::vector<std::string>& command) {
    fs::remove_all(f.out);
    const Ended ended = run(command, {}, f.said, limited);
    CAPTURE(command[0]);
    CAPTURE(ended.err);
    CHECK(ended.status == 1);
    CHECK(ended.err.find("File too large") != ended.err.npos);
    CHECK(error_lines(ended.err).size() == 1);
  };
  const auto is_empty = [&] { return !fs::exists(f.out) || fs::is_empty(f.out); };
  check({"train_tokenizer", "--input", f.temporary / "text", "--output_path", f.out, "--vocab_size", "600",
         "--character_coverage", "0.99", "--num_threads", "1"});
  CHECK(is_empty());
  check({"convert_tokenizer", "--spm_model", f.temporary / "work/tokenizer/tokenizer.model", "--output_dir", f.out});
  CHECK(is_empty());
  check({"pretokenize_dataset", "--input", f.temporary / "text", "--tokenizer_path", f.temporary / "work/tokenizer",
         "--output_path", f.out, "--block_size", "16", "--num_proc", "1"});
  CHECK(is_empty());
  check({"convert_checkpoint", "--input", f.whole, "--output", f.out, "--format", "gemma2"});
  CHECK(is_empty());
  check({"make_stories", "--output_path", f.out, "--documents", "400"});
  CHECK(is_empty());
  check(f.command(f.out));
}

TEST_CASE("standard output that is full or closed ends no training, and reaches no other file") {
  const TrainingFixture f;
  const auto full = [] { dup2(::open("/dev/full", O_WRONLY), 1); };
  const auto closed = [] { ::close(1), ::close(2); };
  Ended ended = run(f.command(f.out), {}, f.said, full);
  CHECK(ended.status == 1);
  CHECK(ended.err.find("standard output") != ended.err.npos);
  f.check_finished();
  fs::remove_all(f.out);
  ended = run(f.command(f.out), {}, f.said, closed);
  CHECK(ended.status == 1);
  f.check_finished();
}
