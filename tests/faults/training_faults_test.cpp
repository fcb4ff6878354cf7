/// Runs `train` while each call on a file fails, and kills it at each of them.

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <string>

#include <doctest/doctest.h>

#include "faults/program.hpp"
#include "faults/sweep.hpp"
#include "faults/training_fixture.hpp"

using namespace moderngpt2::test;

namespace {

const TrainingFixture& fixture() {
  static const TrainingFixture made;
  return made;
}

bool has_hidden(const fs::path& folder) {
  if (!fs::exists(folder)) return false;
  const auto found = TrainingFixture::names(folder);
  return std::any_of(found.begin(), found.end(), [](const std::string& name) { return name.starts_with("."); });
}

void check_disturbed(const Kind& kind, const Ended& ended) {
  const TrainingFixture& f = fixture();
  check_end(kind, ended, f.temporary / "work");
  if (!kind.is_deadly()) CHECK_FALSE(has_hidden(f.out));
  // All existing files are complete, and the checkpoint reported as saved exists, or a later one.
  if (fs::exists(f.out))
    for (const std::string& name : TrainingFixture::names(f.out))
      if (name.starts_with("checkpoint-")) f.check_checkpoint(f.out / name, f.all / name);
  const auto said = [&](const char* step) {
    return ended.out.find("saved " + (f.out / "checkpoint-").string() + step) != ended.out.npos;
  };
  if (said("4")) CHECK(fs::exists(f.out / "checkpoint-4"));
  if (said("2")) CHECK((fs::exists(f.out / "checkpoint-2") || fs::exists(f.out / "checkpoint-4")));
  // An old checkpoint that could not be read is not deleted, and a report that could not be written does not end the
  // run: the next run handles both.
  const bool old_one_stays = fs::exists(f.out / "checkpoint-2") && fs::exists(f.out / "checkpoint-4");
  const bool no_report = ended.out.find("warning: no report: ") != ended.out.npos;
  if (ended.status != 0 || old_one_stays || no_report) {
    const Ended again = run(f.resume(), {}, f.said);
    CAPTURE(again.err);
    CHECK(again.status == 0);
  }
  f.check_finished();
}

void begin_afresh() { fs::remove_all(fixture().out); }
void begin_after_two_steps() {
  const TrainingFixture& f = fixture();
  fs::remove_all(f.out);
  fs::create_directories(f.out);
  fs::copy(f.all / "checkpoint-2", f.out / "checkpoint-2");
  for (const char* log : {"metrics.jsonl", "samples.jsonl"}) fs::copy(f.all / log, f.out / log);
}

void sweep_training(const Kind& kind) {
  const TrainingFixture& f = fixture();
  const auto check = [&](const Ended& ended, const Hit&) { check_disturbed(kind, ended); };
  sweep("a fresh run", kind, f.disturbed(f.command(f.out)), begin_afresh, check);
  sweep("a resumed run", kind, f.disturbed(f.resume()), begin_after_two_steps, check);
}

}  // namespace

TEST_CASE("train makes interrupted calls again") { sweep_training(interrupted_calls); }
TEST_CASE("train completes short reads and writes") { sweep_training(short_calls); }
TEST_CASE("an I/O error at any call ends train in one line, and it can be resumed") { sweep_training(io_error); }
TEST_CASE("a full disk ends train in one line, and it can be resumed") { sweep_training(disk_full); }
TEST_CASE("train killed at any call can be resumed") { sweep_training(killed); }
TEST_CASE("train killed within any write can be resumed") { sweep_training(killed_in_write); }
TEST_CASE("train can be resumed after a loss of power at any call") { sweep_training(power_lost); }

TEST_CASE("a bit that flips on its way to the disk is found before anything is deleted") {
  const TrainingFixture& f = fixture();
  Disturbed disturbed = f.disturbed(f.command(f.out));
  disturbed.more = {{"FAULT_PATH", ".checkpoint-4.tmp"}};
  for (const Kind& kind : {bit_flipped, Kind{"flip in a read", "flip", 0, ",pread,"}})
    sweep("the second save", kind, disturbed, begin_afresh, [&](const Ended& ended, const Hit&) {
      CHECK(ended.status == 1);
      CHECK(ended.err.find("damaged") != ended.err.npos);
      CHECK(fs::exists(f.out / "checkpoint-2"));
      check_disturbed(kind, ended);
    });
}
