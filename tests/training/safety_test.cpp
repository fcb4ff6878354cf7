#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <sys/resource.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "io/expect_error.hpp"
#include "moderngpt2/cli/interrupt.hpp"
#include "moderngpt2/core/random.hpp"
#include "moderngpt2/model/heads.hpp"
#include "moderngpt2/training/checkpoint/output_folder.hpp"
#include "moderngpt2/training/trainer.hpp"
#include "support/temporary_folder.hpp"
#include "training/tiny_run.hpp"

using namespace moderngpt2;
namespace fs = std::filesystem;
using std::chrono::milliseconds;

namespace {

using TinyModel = CausalLM<any_shape>;

/// 50 blocks of 16 ids to train on, 7 to evaluate.
TrainAndEval memory_data() {
  const auto blocks = [](int count, std::uint64_t salt) {
    std::vector<std::int32_t> tokens;
    for (int i = 0; i < count * 16; ++i) tokens.push_back(3 + int(mix64(salt + std::uint64_t(i / 3)) % 60));
    return BlockDataset(std::make_shared<MemoryBlocks>(std::move(tokens), 16), 0, count);
  };
  return {blocks(50, 0), blocks(7, 1000)};
}

TrainingSettings settings_for(const fs::path& output_dir) {
  TrainingSettings s = test::tiny_settings(output_dir);
  s.save_steps = 5;
  s.logging_steps = 1;
  fs::create_directories(output_dir);
  return s;
}

ModelCompanions tiny_companions() {
  ModelCompanions c;
  c.config.config = test::tiny_config();
  return c;
}

struct SafeRun {
  TrainAndEval data = memory_data();
  TinyModel model;
  Trainer<TinyModel> trainer;

  explicit SafeRun(const TrainingSettings& settings, TrainingHooks hooks = {})
      : model(test::tiny_config(), cpu::Backend(1)),
        trainer((model.initialize(settings.seed), model), data, tiny_companions(), settings, std::move(hooks)) {
    if (const auto from = latest_checkpoint(settings.output_dir, [](const std::string&) {})) trainer.resume(*from);
  }
};

/// The number of the newest checkpoint that holds; -1: none.
std::int64_t newest(const fs::path& output_dir) {
  const auto found = latest_checkpoint(output_dir, [](const std::string&) {});
  return found ? found->state.step : -1;
}

bool has_leftovers(const fs::path& output_dir) {
  for (const auto& entry : fs::directory_iterator(output_dir))
    if (entry.path().filename().string().starts_with(".")) return true;
  return false;
}

/// No file of this process may grow past a limit, as on a full disk: writes fail.
class FileLimit {
 public:
  FileLimit() : handler_(std::signal(SIGXFSZ, SIG_IGN)) { getrlimit(RLIMIT_FSIZE, &before_); }
  ~FileLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }
  void set(rlim_t bytes) {
    rlimit limit = before_;
    limit.rlim_cur = bytes;
    setrlimit(RLIMIT_FSIZE, &limit);
  }

 private:
  rlimit before_{};
  void (*handler_)(int);
};

/// Starts the test case below in a process of its own, since a process with threads must not go on after a fork.
pid_t start_child(const fs::path& output_dir, const char* kind) {
  const pid_t child = fork();
  if (child != 0) return child;
  setenv("MODERNGPT2_CHILD_OUTPUT", output_dir.c_str(), 1);
  setenv("MODERNGPT2_CHILD_KIND", kind, 1);
  if (!std::freopen("/dev/null", "w", stdout)) _exit(99);
  execl("/proc/self/exe", "test_training", "--test-case=a child of the safety tests", "--no-skip", nullptr);
  _exit(98);
}

int wait_for(pid_t child) {
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

void wait_for_file(const fs::path& path) {
  for (int i = 0; i < 3000 && !fs::exists(path); ++i) std::this_thread::sleep_for(milliseconds(10));
  REQUIRE(fs::exists(path));
}

}  // namespace

TEST_CASE("a child of the safety tests" * doctest::skip()) {
  const char* output = std::getenv("MODERNGPT2_CHILD_OUTPUT");
  const char* kind = std::getenv("MODERNGPT2_CHILD_KIND");
  REQUIRE(output);
  REQUIRE(kind);
  const fs::path out = output;
  TrainingSettings settings = settings_for(out);
  const bool stuck = std::string(kind) == "stuck", killed = std::string(kind) == "killed";
  if (killed) settings.save_steps = 1;
  if (!killed) catch_interrupts();
  std::optional<OutputFolder> folder(std::in_place, out, 0);
  SafeRun run(settings, {.on_step =
                             [&](const StepReport& report) {
                               if (!killed && report.step == 3) write_file(out / "started", "x");
                               for (int i = 0; stuck && i < 600; ++i) std::this_thread::sleep_for(milliseconds(100));
                               if (!killed) std::this_thread::sleep_for(milliseconds(20));
                             },
                         .stop = [] { return interrupted(); }});
  std::_Exit(stop_status(run.trainer.run()));
}

TEST_CASE("a save on a full disk leaves the checkpoint before it whole") {
  test::TemporaryFolder temporary;
  SafeRun whole(settings_for(temporary / "whole"));
  CHECK(whole.trainer.run() == 0);
  const TrainingSettings settings = settings_for(temporary / "out");
  {
    FileLimit limit;
    SafeRun run(settings, {.on_step = [&](const StepReport& r) {
                  if (r.step == 8) limit.set(20000);  // less than the weights take
                }});
    CHECK_ERROR(run.trainer.run(), "cannot write", "checkpoint-10", "File too large");
  }
  CHECK(newest(settings.output_dir) == 5);
  CHECK_FALSE(has_leftovers(settings.output_dir));
  CHECK_FALSE(fs::exists(settings.output_dir / "checkpoint-10"));
  SafeRun rest(settings);
  CHECK(rest.trainer.run() == 0);
  CHECK(test::same_bytes(whole.model.weights().matrices, rest.model.weights().matrices));
  CHECK(test::same_bytes(whole.trainer.optimizer().rule().second.matrices,
                         rest.trainer.optimizer().rule().second.matrices));
}

TEST_CASE("a run that is killed again and again ends with the weights of one that is not") {
  test::TemporaryFolder temporary;
  SafeRun whole(settings_for(temporary / "whole"));
  CHECK(whole.trainer.run() == 0);
  const TrainingSettings settings = settings_for(temporary / "out");
  int kills = 0;
  std::int64_t last = -1;
  for (std::uint64_t attempt = 0; attempt < 25; ++attempt) {
    const pid_t child = start_child(settings.output_dir, "killed");
    REQUIRE(child > 0);
    std::this_thread::sleep_for(milliseconds(40 + mix64(attempt) % 160));
    kill(child, SIGKILL);
    const int status = wait_for(child);
    kills += status == -SIGKILL;
    const std::int64_t step = newest(settings.output_dir);
    CHECK(step >= last);
    last = step;
    if (status == 0) break;
    REQUIRE(status == -SIGKILL);
  }
  MESSAGE(kills << " kills, the last checkpoint is of step " << last);
  CHECK(kills > 0);
  SafeRun rest(settings);
  CHECK(rest.trainer.run() == 0);
  CHECK(test::same_bytes(whole.model.weights().matrices, rest.model.weights().matrices));
}

TEST_CASE("a run of max_hours saves and ends, always does a step, and continues bit for bit") {
  test::TemporaryFolder temporary;
  SafeRun whole(settings_for(temporary / "whole"));
  CHECK(whole.trainer.run() == 0);
  TrainingSettings settings = settings_for(temporary / "out");
  std::string said;
  for (std::int64_t step = 1; step <= 2; ++step) {
    settings.max_hours = 1e-6;
    SafeRun run(settings, {.say = [&](const std::string& line) { said += line + "\n"; }});
    CHECK(run.trainer.run() == time_limit_reached);
    CHECK(newest(settings.output_dir) == step);
    CHECK(said.find(fmt::format("stopped at step {} of 40 by max_hours: ", step)) != said.npos);
  }
  settings.max_hours = 1;
  SafeRun late(settings);
  late.trainer.set_start(seconds_now() - 3600);
  CHECK(late.trainer.run() == time_limit_reached);
  SafeRun rest(settings);
  CHECK(rest.trainer.run() == 0);
  CHECK(test::same_bytes(whole.model.weights().matrices, rest.model.weights().matrices));
  settings.max_hours = 0;
  CHECK_ERROR(SafeRun(settings), "max_hours is 0");
}

TEST_CASE("runs that max_hours stops at each step do all evaluations of a whole run") {
  test::TemporaryFolder temporary;
  const auto steps_of_evaluations = [&](const char* folder, bool hurried) {
    TrainingSettings settings = settings_for(temporary / folder);
    settings.max_steps = 6;
    settings.eval_strategy = IntervalStrategy::steps;
    settings.eval_steps = 2;
    if (hurried) settings.max_hours = 1e-6;
    std::vector<std::int64_t> steps;
    const TrainingHooks hooks{.on_evaluate = [&](const Evaluation& e, TrainingControl&) { steps.push_back(e.step); }};
    for (int runs = 0; runs < 10; ++runs)
      if (SafeRun run(settings, hooks); run.trainer.run() == 0) break;
    return steps;
  };
  const std::vector<std::int64_t> whole = steps_of_evaluations("whole", false);
  CHECK(whole == std::vector<std::int64_t>{2, 4, 6});
  CHECK(steps_of_evaluations("hurried", true) == whole);
}

TEST_CASE("signals save and end the run with 128 plus their number; a second SIGTERM ends it at once") {
  test::TemporaryFolder temporary;
  for (const int signal : {SIGTERM, SIGINT, SIGUSR1, SIGHUP}) {
    const fs::path out = temporary / std::to_string(signal);
    fs::create_directory(out);
    const pid_t child = start_child(out, "polite");
    wait_for_file(out / "started");
    CHECK_ERROR(OutputFolder(out, 0), "in use by another run");
    kill(child, signal);
    if (signal == SIGUSR1) kill(child, signal);
    CHECK(wait_for(child) == 128 + signal);
    CHECK(newest(out) >= 3);
    CHECK(newest(out) < 40);
    OutputFolder(out, 0);
  }
  const fs::path out = temporary / "stuck";
  fs::create_directory(out);
  const pid_t child = start_child(out, "stuck");
  std::this_thread::sleep_for(milliseconds(50));
  for (int i = 0; i < 3000 && !fs::exists(out / "metrics.jsonl"); ++i) std::this_thread::sleep_for(milliseconds(10));
  std::this_thread::sleep_for(milliseconds(300));  // within the first step, which lasts a minute
  kill(child, SIGTERM);
  std::this_thread::sleep_for(milliseconds(200));
  kill(child, SIGTERM);
  CHECK(wait_for(child) == 128 + SIGTERM);
  CHECK(newest(out) == -1);
}

TEST_CASE("weights that are not finite are never saved over good ones") {
  test::TemporaryFolder temporary;
  const TrainingSettings settings = settings_for(temporary / "out");
  TinyModel* model = nullptr;
  SafeRun run(settings, {.on_step = [&](const StepReport& r) {
                if (r.step == 10) model->weights().matrices[100] = std::numeric_limits<float>::infinity();
              }});
  model = &run.model;
  CHECK_ERROR(run.trainer.run(), "not finite", "step 10");
  CHECK(newest(settings.output_dir) == 5);
  CHECK_FALSE(has_leftovers(settings.output_dir));
}

TEST_CASE("a stop while steps are skipped saves, but deletes nothing from before") {
  test::TemporaryFolder temporary;
  TrainingSettings settings = settings_for(temporary / "out");
  settings.save_total_limit = 1;
  TinyModel* model = nullptr;
  std::int64_t step = 0;
  float good = 0;
  SafeRun run(settings, {.on_step =
                             [&](const StepReport& r) {
                               step = r.step;
                               if (step == 8) model->weights().vectors[0] = good;
                             },
                         .stop = [&] { return step == 8 ? 15 : 0; },
                         .on_save =
                             [&](const fs::path&) {
                               good =
                                   std::exchange(model->weights().vectors[0], std::numeric_limits<float>::quiet_NaN());
                             }});
  model = &run.model;
  CHECK(run.trainer.run() == 15);
  CHECK(run.trainer.state().skipped_in_a_row == 3);
  CHECK(fs::exists(settings.output_dir / "checkpoint-5"));
  CHECK(fs::exists(settings.output_dir / "checkpoint-8"));
}

TEST_CASE("a resumed run keeps fields of trainer_state.json that it does not know") {
  test::TemporaryFolder temporary;
  TrainingSettings settings = settings_for(temporary / "out");
  settings.max_steps = 5;
  CHECK(SafeRun(settings).trainer.run() == 0);
  const fs::path file = settings.output_dir / "checkpoint-5" / "trainer_state.json";
  Json json = read_json_file(file);
  json["of_another_version"] = {1, 2};
  json["best_metric"] = 0.5;
  write_json_file(file, json);
  settings.max_steps = 10;
  CHECK(SafeRun(settings).trainer.run() == 0);
  json = read_json_file(settings.output_dir / "checkpoint-10" / "trainer_state.json");
  CHECK(json.at("of_another_version") == Json{1, 2});
  CHECK(json.at("best_metric") == 0.5);
  CHECK(json.at("global_step") == 10);
}
