/// Kills a run of `train` at random times, repeatedly.

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "faults/program.hpp"
#include "faults/training_fixture.hpp"

using namespace moderngpt2::test;

// MODERNGPT2_KILLS is the number of kills.
TEST_CASE("a run killed again and again ends bit-equal to one never interrupted") {
  const TrainingFixture f;
  const char* const wanted = std::getenv("MODERNGPT2_KILLS");
  const int most = wanted ? std::atoi(wanted) : 25;
  const auto command = [&](const fs::path& output) {
    std::vector<std::string> words = f.command(output, {"--resume_from_checkpoint", "latest"});
    const auto set = [&](const char* flag, const std::string& value) {
      *(std::find(words.begin(), words.end(), flag) + 1) = value;
    };
    set("--max_steps", std::to_string(2 * most)), set("--save_steps", "1"), set("--save_total_limit", "2");
    return words;
  };
  REQUIRE(run(command(f.temporary / "never"), {}, f.said).status == 0);
  std::mt19937 random(7);
  const auto steps = [&] {
    std::int64_t newest = 0;
    if (fs::exists(f.out))
      for (const std::string& name : TrainingFixture::names(f.out))
        if (name.starts_with("checkpoint-")) newest = std::max<std::int64_t>(newest, std::atol(name.c_str() + 11));
    return newest;
  };
  double span = 0.3;  // lifetime of a process in seconds; grows while it makes no progress
  int kills = 0, runs = 0;
  std::int64_t last = 0;
  while (kills < most) {
    const pid_t child = start(command(f.out), {}, f.said, [] {});
    REQUIRE(child > 0);
    std::this_thread::sleep_for(std::chrono::duration<double>(span * double(random() % 1000) / 1000));
    ::kill(child, SIGKILL);
    const Ended ended = wait_for(child, f.said);
    const std::int64_t now = steps();
    CHECK(now >= last);
    span *= now == last ? 1.1 : now > last + 2 ? 0.7 : 1;
    last = now;
    if (ended.status == 0) break;
    REQUIRE_MESSAGE(ended.status == -SIGKILL, ended.err);
    ++kills;
  }
  for (bool done = false; !done && runs < 3; ++runs) done = run(command(f.out), {}, f.said).status == 0;
  MESSAGE(kills << " kills, the last at step " << last << " of " << 2 * most);
  CHECK(kills > most / 2);
  const fs::path end = "checkpoint-" + std::to_string(2 * most);
  f.check_checkpoint(f.out / end, f.temporary / "never" / end);
  CHECK(content(f.out / "model.safetensors") == content(f.temporary / "never/model.safetensors"));
  CHECK(content(f.out / "samples.jsonl") == content(f.temporary / "never/samples.jsonl"));
  CHECK(timeless_lines(f.out / "metrics.jsonl") == timeless_lines(f.temporary / "never/metrics.jsonl"));
}
