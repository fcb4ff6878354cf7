/// Runs `convert_checkpoint` while each call on a file of the output fails, or kills it there.

#include <algorithm>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "faults/program.hpp"
#include "faults/sweep.hpp"
#include "faults/training_fixture.hpp"

using namespace moderngpt2::test;

namespace {

/// Content of a file, or of the files of a folder by name.
std::map<std::string, std::string> contents(const fs::path& path) {
  if (!fs::is_directory(path)) return {{"", content(path)}};
  std::map<std::string, std::string> result;
  for (const auto& entry : fs::directory_iterator(path))
    result[entry.path().filename().string()] = content(entry.path());
  return result;
}

}  // namespace

TEST_CASE("a conversion whose calls fail, or that is killed, leaves its output complete or absent") {
  const TrainingFixture f;
  const fs::path folder = f.temporary / "outputs";
  for (const std::string name : {"gemma2", "model.gguf"}) {
    CAPTURE(name);
    const fs::path output = folder / name;
    std::vector<std::string> command{"convert_checkpoint", "--input", f.whole, "--output", output};
    if (name == "gemma2") command.insert(command.end(), {"--format", "gemma2", "--max_shard_size", "20KB"});
    const auto clear = [&] {
      fs::remove_all(folder);
      fs::create_directory(folder);
    };
    clear();
    REQUIRE(run(command, {}, f.said).status == 0);
    const auto expected = contents(output);
    const Disturbed disturbed{command, folder, f.log, f.said};
    for (const Kind& kind : {interrupted_calls, short_calls, io_error, disk_full, killed, killed_in_write})
      sweep("convert_checkpoint " + name, kind, disturbed, clear, [&](const Ended& ended, const Hit&) {
        check_end(kind, ended, folder);
        const bool is_there = fs::exists(output);
        CHECK((is_there || ended.status != 0));
        if (is_there) CHECK(contents(output) == expected);
        const auto entries = TrainingFixture::names(folder).size();
        if (!kind.is_deadly()) CHECK(entries == (is_there ? 1 : 0));
        if (is_there) return;
        const Ended again = run(command, {}, f.said);
        CHECK_MESSAGE(again.status == 0, again.err);
        CHECK(contents(output) == expected);
        CHECK(TrainingFixture::names(folder).size() == 1);
      });
  }
}
