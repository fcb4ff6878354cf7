#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/backend/cuda.hpp"
#include "moderngpt2/run/run.hpp"
#include "moderngpt2/training/tasks/multiple_choice.hpp"
#include "moderngpt2/training/tasks/question_answering.hpp"
#include "moderngpt2/training/tasks/sequence_classification.hpp"
#include "moderngpt2/training/tasks/token_classification.hpp"
#include "support/task_examples.hpp"
#include "training/tiny_run.hpp"

using namespace moderngpt2;
namespace fs = std::filesystem;

namespace {

struct Judged {
  Evaluation evaluation;
  std::vector<Json> predictions;
};

/// Scores of a random model, evaluated with two examples at a time.
template <class Task, class Backend>
Judged judge(const ExampleRange<typename Task::Store>& data) {
  Config config = test::tiny_config();
  config.vocab_size = 400, config.num_labels = 2;
  typename Task::template Model<Backend> model(config);
  model.initialize(5);
  typename Task::Batch batch(data, 2, config);
  auto work = model.workspace(2 * data.sequences(), data.block_size(), Mode::infer);
  typename Task::Scores scores(data, config);
  Judged judged{*evaluate(model, work, batch, data, 2, scores, [](std::int64_t) { return true; }), {}};
  for (std::int64_t i = 0; i < scores.size(); ++i) judged.predictions.push_back(scores.prediction(i));
  return judged;
}

/// Checks that numbers are within 1e-4 of each other and all else is equal.
void check_alike(const Json& got, const Json& want) {
  REQUIRE(got.size() == want.size());
  if (got.is_number_float())
    CHECK(got.get<double>() == doctest::Approx(want.get<double>()).epsilon(1e-4));
  else if (!got.is_structured())
    CHECK(got == want);
  else
    for (auto g = got.begin(), w = want.begin(); w != want.end(); ++g, ++w) check_alike(*g, *w);
}

template <class Task>
void check_judged(const std::string& lines) {
  const auto data = test::examples<typename Task::Store>(lines);
  simt::machine().seed(1);
  const Judged want = judge<Task, cpu::Backend>(data), got = judge<Task, cuda::Backend>(data);
  CHECK(want.evaluation.loss > 0);
  CHECK(got.evaluation.loss == doctest::Approx(want.evaluation.loss).epsilon(1e-5));
  CHECK(got.evaluation.labels == want.evaluation.labels);
  CHECK(got.evaluation.scores == want.evaluation.scores);
  REQUIRE(want.predictions.size() >= 3);
  check_alike(got.predictions, want.predictions);
}

}  // namespace

TEST_CASE("scores and predictions of heads on the GPU equal those on the CPU") {
  check_judged<QuestionAnswering>(
      R"({"question": "who", "context": "abc def ghi jkl mno pqr stu", "answers": {"text": ["def"], "answer_start": [4]}}
{"question": "why?", "context": "xyz", "answers": {"text": [], "answer_start": []}}
{"question": "when", "context": "a b", "answers": {"text": ["b"], "answer_start": [2]}})");
#ifndef MODERNGPT2_SIMT_TSAN  // ThreadSanitizer has room for one model
  check_judged<TokenClassification>(R"({"tokens": ["ab", "c"], "tags": ["B-X", "O"]}
{"tokens": ["abcd", "efg", "h"], "tags": ["B-X", "O", "B-X"]}
{"tokens": ["q"], "tags": ["O"]})");
  check_judged<SequenceClassification>(R"({"text": "abc", "label": "x"}
{"text": "defghi", "label": "y"}
{"text": "a", "label": "x"})");
  check_judged<MultipleChoice>(R"({"question": "ab", "choices": ["c", "defg"], "label": 0}
{"question": "abcde", "choices": ["cd", "de"], "label": 1}
{"question": "x", "choices": ["y", "z"], "label": 1})");
#endif
}

#if !defined(MODERNGPT2_SIMT_TSAN) && !defined(__SANITIZE_ADDRESS__)  // half a minute to compile each
TEST_CASE("steps and evaluations of a classifier on the GPU allocate nothing, from the first one on") {
  using Task = SequenceClassification;
  using M = Task::Model<cuda::Backend>;
  const test::TemporaryFolder folder;
  simt::machine().seed(1);
  std::string lines;
  for (int i = 0; i < 8; ++i)
    lines += fmt::format("{{\"text\": \"{}\", \"label\": \"{}\"}}\n", std::string(1 + i, 'b'), i % 2 ? "x" : "y");
  const auto data = test::examples<Task::Store>(lines);
  const Task::Splits splits{data, data};
  TrainingSettings settings = test::tiny_settings(folder.path());
  ModelCompanions companions;
  Config& config = companions.config.config = test::tiny_config();
  config.vocab_size = 400, config.num_labels = 2;
  M model(config);
  Trainer<M, Task> trainer(model, splits, companions, settings);
  trainer.initialize(5);
  const MemoryPlan plan = plan_memory<M>(config, settings, data.block_size(), 1, data.size(), data.size());
  const auto planned = [&](std::string_view what) {
    for (const MemoryPlan::Line& line : plan.lines)
      if (line.what == what) return line.bytes;
    return std::uint64_t(0);
  };
  cuda::Backend& b = model.backend();
  CHECK(planned("scratch of the operations") == b.scratch_bytes() + b.blas().workspace_bytes());
  CHECK(planned("inputs of a pass") == b.inputs().bytes());
  CHECK(planned("inputs of a pass, on the host") == 2 * b.inputs().bytes());

  const std::int64_t allocations = simt::device().allocations;
  const LearningRateSchedule schedule = make_schedule(settings, settings.max_steps);
  for (int step = 0; step < 4; ++step) CHECK(trainer.step(schedule).applied);
  CHECK(trainer.evaluate());
  CHECK(trainer.step(schedule).applied);
  CHECK(simt::device().allocations == allocations);
}

TEST_CASE("train --task on the GPU: losses and scores as on the CPU, which evaluates the checkpoint") {
  using Task = SequenceClassification;
  const test::TemporaryFolder folder;
  test::write_letter_tokenizer(folder / "tokenizer");
  std::string rows;
  for (int i = 0; i < 24; ++i)
    rows += fmt::format("{{\"text\": \"{}{}\", \"label\": \"{}\"}}\n", char('a' + i % 7), i % 2 ? "x" : "bc",
                        i % 2 ? "with" : "plain");
  write_file(folder / "rows.jsonl", rows);
  TrainingRequest request;
  request.examples.inputs = request.examples.eval_inputs = {(folder / "rows.jsonl").string()};
  TrainingRequest& training = request;
  training.tokenizer_path = folder / "tokenizer";
  training.model_fields["n_layer"] = 1, training.model_fields["n_embd"] = 16, training.model_fields["n_head"] = 2;
  training.threads = 1;
  std::vector<std::string> said;
  std::size_t used = 0;
  const auto run = [&](const fs::path& output, std::optional<int> gpu) {
    training.gpu = gpu;
    if (!training.eval_only) {
      training.settings = test::tiny_settings(output);
      training.settings.max_steps = 4, training.settings.eval_steps = 4;
      training.settings.logging_steps = 1;
    }
    said.clear();
    const TrainingHooks hooks{
        .say = [&](const std::string& line) { said.push_back(line); },
        .on_evaluation_progress = [&](std::int64_t, std::int64_t) { used = simt::device().used(); }};
    const int status = run_training<Task>(
        request, hooks, [](const TrainingRequest& r, const PreparedRun<Task>& run, const TrainingHooks& h) {
          return detail::run_model<Task::Model<cuda::Backend>>(r, run, h);
        });
    REQUIRE(status == 0);
    std::vector<Json> lines;
    if (training.eval_only) return lines;
    const std::string file = read_file(output / "metrics.jsonl");
    for (const std::string_view line : complete_lines(file)) lines.push_back(parse_json(line, "metrics"));
    return lines;
  };
  const auto want = run(folder / "cpu", {}), got = run(folder / "gpu", 0);
  REQUIRE(got.size() == want.size());
  int evaluations = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    for (const char* name : {"loss", "grad_norm", "eval_loss", "eval_accuracy"})
      if (want[i].contains(name)) check_alike(got[i].at(name), want[i].at(name));
    evaluations += want[i].contains("eval_accuracy");
  }
  CHECK(evaluations >= 1);

  training.eval_only = true;
  training.model_path = folder / "gpu";
  training.model_fields = {};
  std::string evaluated[2];
  const std::size_t before = simt::device().used();
  for (const bool on_gpu : {false, true}) {
    request.predictions_file = folder / fmt::format("{}.jsonl", on_gpu);
    run({}, on_gpu ? std::optional(0) : std::nullopt);
    evaluated[on_gpu] = said.back().substr(said.back().find("accuracy"));
  }
  CHECK(evaluated[0] == evaluated[1]);
  CHECK(read_file(folder / "true.jsonl").size() > 24 * 20);

  // An evaluation takes the planned memory; with less, it is refused, like training.
  const std::string& data =
      *std::find_if(said.begin(), said.end(), [](const auto& s) { return s.starts_with("model"); });
  const int time = std::stoi(data.substr(data.find("at most ") + 8));
  const MemoryPlan plan =
      plan_evaluation<Task::Model<cuda::Backend>>(read_config(folder / "gpu").config, training.settings, time, 1, 24);
  CHECK(std::any_of(said.begin(), said.end(), [&](const auto& line) {
    return line.starts_with("GPU 0: ") && line.ends_with("the run takes " + byte_text(plan.device_bytes));
  }));
  constexpr std::size_t small = 256 << 10;  // uploads and loss of a pass
  CHECK(used - before < plan.device_bytes + small);
  const std::size_t limit = std::exchange(simt::device().memory_bytes, before + plan.device_bytes - 1);
  CHECK_THROWS_WITH_AS(run({}, 0), doctest::Contains("use a smaller --per_device_eval_batch_size; --dry_run"), Error);
  training.eval_only = false, request.predictions_file.reset();
  CHECK_THROWS_WITH_AS(run(folder / "full", 0), doctest::Contains("use a smaller --per_device_train_batch_size"),
                       Error);
  simt::device().memory_bytes = limit;
}
#endif
