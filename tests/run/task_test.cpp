#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "io/expect_error.hpp"
#include "moderngpt2/core/random.hpp"
#include "moderngpt2/run/run.hpp"
#include "moderngpt2/testing/thread_ranks.hpp"
#include "moderngpt2/training/tasks/sequence_classification.hpp"
#include "support/letter_tokenizer.hpp"
#include "support/temporary_folder.hpp"
#include "training/tiny_run.hpp"

using namespace moderngpt2;
namespace fs = std::filesystem;

namespace {

using Task = SequenceClassification;

/// Texts of 3 to 14 letters; whether an x is among them is their label.
std::string letter_texts(int count, std::uint64_t salt) {
  std::string lines;
  for (int i = 0; i < count; ++i) {
    const std::uint64_t key = mix64(salt * 100'000 + std::uint64_t(i));
    std::string text;
    for (std::uint64_t k = 0; k < 3 + key % 12; ++k) text += char('a' + mix64(key + k) % 20);
    const bool with = key >> 20 & 1;
    if (with) text[(key >> 30) % text.size()] = 'x';
    lines += R"({"text": ")" + text + R"(", "label": ")" + (with ? "with" : "plain") + "\"}\n";
  }
  return lines;
}

struct TaskFixture {
  test::TemporaryFolder temporary;
  TrainingRequest request;
  std::vector<std::string> said;
  std::int64_t stop_after = 1'000'000;

  TaskFixture() {
    test::write_letter_tokenizer(temporary / "tokenizer");
    write_file(temporary / "train.jsonl", letter_texts(600, 1));
    write_file(temporary / "eval.jsonl", letter_texts(200, 2));
    request.examples.inputs = {(temporary / "train.jsonl").string()};
    request.examples.eval_inputs = {(temporary / "eval.jsonl").string()};
    TrainingRequest& r = request;
    r.settings = test::tiny_settings(temporary / "out");
    r.settings.max_steps = 12;
    r.settings.per_device_train_batch_size = 16;
    r.settings.logging_steps = 4;
    r.settings.eval_steps = 6;
    r.tokenizer_path = temporary / "tokenizer";
    r.model_fields["n_layer"] = 1, r.model_fields["n_embd"] = 32, r.model_fields["n_head"] = 2;
    r.threads = 1;
  }
  int run() {
    said.clear();
    std::int64_t done = 0;
    return run_training<Task>(request, {.say = [&](const std::string& line) { said.push_back(line); },
                                        .on_step = [&](const StepReport& report) { done = report.step; },
                                        .stop = [&] { return done >= stop_after ? 15 : 0; }});
  }
  std::string text() const {
    std::string all;
    for (const std::string& line : said) all += line + "\n";
    return all;
  }
  /// Runs on `ranks` threads. All must succeed, and one prints.
  void run_ranks(int ranks, int stage) {
    said.clear();
    std::vector<int> status(std::size_t(ranks), -1);
    const auto run_rank = [&](distributed::CommunicatorBase& communicator) {
      TrainingRequest own = request;
      TrainingSettings& s = own.settings;
      s.world_size = ranks, s.zero_stage = stage, s.bucket_elements = 2000;
      s.per_device_train_batch_size /= ranks;
      own.ranks = &communicator;
      status[std::size_t(communicator.rank())] =
          run_training<Task>(own, {.say = [&](const std::string& line) { said.push_back(line); }});
    };
    for (const std::string& thrown : distributed::run_thread_ranks(ranks, {.timeout_seconds = 60}, run_rank))
      CHECK(thrown == "");
    CHECK(status == std::vector<int>(std::size_t(ranks), 0));
  }
  std::vector<Json> metrics() const {
    std::vector<Json> lines;
    const std::string file = read_file(out() / "metrics.jsonl");
    for (const std::string_view line : complete_lines(file)) lines.push_back(parse_json(line, "metrics"));
    return lines;
  }
  fs::path out() const { return request.settings.output_dir; }
  Json last_metrics() const {
    const std::string file = read_file(out() / "metrics.jsonl");
    const std::size_t begin = file.rfind('\n', file.size() - 2);
    return parse_json(std::string_view(file).substr(begin == file.npos ? 0 : begin + 1), "metrics");
  }
};

}  // namespace

TEST_CASE("a small classifier learns its task, and its folder says what it is") {
  TaskFixture f;
  TrainingSettings& s = f.request.settings;
  s.max_steps = 150, s.eval_steps = 150;
  CHECK(f.run() == 0);
  const double accuracy = f.last_metrics().at("eval_accuracy").get<double>();
  CHECK(accuracy > 0.97);
  CHECK(f.last_metrics().at("eval_f1").get<double>() > 0.97);
  for (const fs::path& folder : {f.out(), f.out() / "checkpoint-150"}) {
    const Json config = read_json_file(folder / "config.json");
    CHECK(config.at("architectures") == Json{"ModernGPT2ForSequenceClassification"});
    CHECK(config.at("id2label") == Json{{"0", "plain"}, {"1", "with"}});
    CHECK(config.at("label2id") == Json{{"plain", 0}, {"with", 1}});
    CHECK(config.at("problem_type") == "single_label_classification");
    CHECK(CheckpointTensors(folder).at("score.weight").shape == std::vector<std::int64_t>{2, 32});
    CHECK(fs::exists(folder / "tokenizer.json"));
  }

  // Evaluation alone says the same, and writes what was predicted.
  f.request.eval_only = true;
  f.request.model_path = f.out();
  f.request.model_fields = {};
  f.request.tokenizer_path.reset();
  f.request.examples.inputs.clear();
  f.request.predictions_file = f.temporary / "predictions.jsonl";
  CHECK(f.run() == 0);
  CHECK(test::contains(f.said.back(), fmt::format("accuracy {:.6g}", accuracy)));
  int lines = 0, right = 0;
  const std::string predictions = read_file(*f.request.predictions_file);
  for (const std::string_view line : complete_lines(predictions)) {
    const Json json = parse_json(line, "predictions");
    ++lines, right += json.at("prediction") == json.at("label");
    CHECK(std::abs(json.at("scores")[0].get<double>() + json.at("scores")[1].get<double>() - 1) < 1e-6);
  }
  CHECK(lines == 200);
  CHECK(std::abs(right / 200.0 - accuracy) < 1e-9);

  write_file(f.temporary / "eval.jsonl", letter_texts(3, 3) + R"({"text": "x", "label": "other"})");
  CHECK_ERROR(f.run(), "eval.jsonl:4", "other", "\"plain\", \"with\"");
}

TEST_CASE("a classifier labels rows that have no labels, as the test sets of GLUE") {
  TaskFixture f;
  CHECK(f.run() == 0);
  f.request.eval_only = true;
  f.request.model_path = f.out();
  f.request.model_fields = {};
  f.request.tokenizer_path.reset();
  f.request.examples.inputs.clear();
  f.request.predictions_file = f.temporary / "predictions.jsonl";
  write_file(f.temporary / "eval.jsonl", "{\"text\": \"abc\", \"label\": -1}\n{\"text\": \"axb\"}\n");
  CHECK(f.run() == 0);
  CHECK(test::contains(f.said.back(), "2 rows have no label"));
  const std::string predictions = read_file(*f.request.predictions_file);
  int lines = 0;
  for (const std::string_view line : complete_lines(predictions)) {
    const Json json = parse_json(line, "predictions");
    ++lines;
    CHECK(json.contains("prediction"));
    CHECK_FALSE(json.contains("label"));
  }
  CHECK(lines == 2);
  f.request.predictions_file.reset();
  CHECK_ERROR(f.run(), "eval.jsonl:1", "-1");
}

TEST_CASE("of a folder, validation files are the evaluation set and test files are not read") {
  TaskFixture f;
  const fs::path folder = f.temporary / "data";
  fs::create_directory(folder);
  fs::rename(f.temporary / "train.jsonl", folder / "train.jsonl");
  fs::rename(f.temporary / "eval.jsonl", folder / "validation.jsonl");
  write_file(folder / "test.jsonl", "no JSON");
  f.request.examples.inputs = {folder.string()};
  f.request.examples.eval_inputs.clear();
  CHECK(f.run() == 0);
  CHECK(test::contains(f.text(), "1 file of a validation set: evaluated"));
  CHECK(test::contains(f.text(), "1 file of a test set: not used (test.jsonl)"));
}

TEST_CASE("many classes take no quadratic time") {
  std::vector<std::string> names;
  for (int i = 0; i < 100'000; ++i) names.push_back("LABEL_" + std::to_string(i));
  ConfigFile file;
  detail::set_labels(file, names);
  CHECK(detail::class_names(file, "config.json") == names);
}

TEST_CASE("a classifier is evaluated and saved at epochs, and the model with the best accuracy is the final one") {
  TaskFixture f;
  TrainingSettings& s = f.request.settings;
  s.max_steps = -1, s.num_train_epochs = 2;  // 38 steps an epoch
  s.eval_strategy = IntervalStrategy::epoch, s.save_strategy = SaveStrategy::epoch;
  s.load_best_model_at_end = true, s.metric_for_best_model = "accuracy";
  s.label_smoothing_factor = 0.1;
  CHECK(f.run() == 0);
  CHECK(test::contains(f.text(),
                       "events: log every 4 steps; evaluation every epoch and at the end; checkpoint every "
                       "epoch and at the end; best by accuracy, greater is better, and the final model"));
  std::vector<std::pair<double, std::int64_t>> evaluated;
  for (const Json& line : f.metrics())
    if (line.contains("eval_accuracy")) evaluated.emplace_back(line.at("eval_accuracy"), line.at("step"));
  REQUIRE(evaluated.size() == 2);
  CHECK(evaluated[0].second == 38);
  CHECK(evaluated[1].second == 76);
  const std::int64_t best = evaluated[1].first > evaluated[0].first ? 76 : 38;
  CHECK(read_file(f.out() / "model.safetensors") == read_file(checkpoint_path(f.out(), best) / "model.safetensors"));
}

TEST_CASE("labels that are numbers have no classes to smooth") {
  TaskFixture f;
  for (const char* name : {"train.jsonl", "eval.jsonl"}) {
    std::string lines;
    for (int i = 0; i < 20; ++i) lines += fmt::format("{{\"text\": \"ab\", \"label\": {}.5}}\n", i);
    write_file(f.temporary / name, lines);
  }
  f.request.settings.label_smoothing_factor = 0.1;
  CHECK_ERROR(f.run(), "label_smoothing_factor is 0.1", "not classes");
  CHECK_FALSE(fs::exists(f.out() / "metrics.jsonl"));
}

TEST_CASE("ranks train the classifier that one process trains, and score it together") {
  TaskFixture f;  // with dropout, and rows of unequal length
  TrainingSettings& s = f.request.settings;
  s.logging_steps = 1;
  s.learning_rate = 2e-4;                  // at 1e-2 rounding alone grows past 1e-6
  f.request.examples.eval_inputs.clear();  // 30 of the 600 examples: two batches, the second of them short
  s.per_device_eval_batch_size = 16;
  s.max_steps = 40;  // the last batch of an epoch has 10
  CHECK(f.run() == 0);
  const std::vector<Json> one = f.metrics();
  TrainingRequest evaluation = f.request;
  evaluation.eval_only = true;
  evaluation.model_path = f.out();
  evaluation.model_fields = {};
  evaluation.examples.eval_inputs = {(f.temporary / "eval.jsonl").string()};
  evaluation.predictions_file = f.temporary / "one.jsonl";
  for (const int ranks : {2, 4}) {
    CAPTURE(ranks);
    const int stage = ranks - 1;
    s.output_dir = f.temporary / std::to_string(ranks);
    f.run_ranks(ranks, stage);
    CHECK(std::count(f.said.begin(), f.said.end(), "the model is in " + f.out().string()) == 1);
    const std::vector<Json> several = f.metrics();
    REQUIRE(several.size() == one.size());
    int evaluations = 0;
    for (std::size_t i = 0; i < one.size(); ++i)
      for (const char* key : {"loss", "eval_loss"})
        if (one[i].contains(key)) {
          const double expected = one[i].at(key).get<double>();
          CHECK(std::abs(several[i].at(key).get<double>() - expected) < 1e-6 * expected);
          for (const char* score : {"eval_accuracy", "eval_f1_macro", "eval_recall"})
            if (one[i].contains(score)) {
              ++evaluations;
              CHECK(several[i].at(score) == one[i].at(score));
            }
        }
    CHECK(evaluations == 3 * 7);  // three scores: after each epoch of 6 steps, and after the last step
  }
  f.request = evaluation;
  CHECK(f.run() == 0);
  const std::string said = f.said.back();
  f.request.predictions_file = f.temporary / "three.jsonl";
  f.run_ranks(3, 3);
  CHECK(f.said.back() == said);
  CHECK(read_file(f.temporary / "three.jsonl") == read_file(f.temporary / "one.jsonl"));
}

TEST_CASE("a classifier learns in bf16, and its files have every digit of the masters") {
  TaskFixture f;
  f.request.precision = PrecisionName::bf16;
  f.request.settings.max_steps = 150;
  CHECK(f.run() == 0);
  CHECK(f.last_metrics().at("eval_accuracy").get<double>() > 0.95);
  const auto weights = CheckpointTensors(f.out()).read_vector<float>("score.weight");
  CHECK(std::any_of(weights.begin(), weights.end(), [](float w) { return float(bf16(w)) != w; }));
}

TEST_CASE("a classifier's run that is stopped and resumed is bit for bit the run that is not") {
  TaskFixture f;
  SUBCASE("fp32") {}
  SUBCASE("bf16") { f.request.precision = PrecisionName::bf16; }
  CHECK(f.run() == 0);
  const fs::path whole = f.out();
  f.request.settings.output_dir = f.temporary / "parts";
  f.request.resume_from_checkpoint = "latest";
  f.stop_after = 5;
  CHECK(f.run() == 128 + 15);
  f.stop_after = 1000;
  f.request.model_fields = {};
  CHECK(f.run() == 0);
  CHECK(test::contains(f.text(), "resuming from"));
  for (const char* file : {"model.safetensors", "optimizer.safetensors"})
    CHECK(read_file(f.out() / "checkpoint-12" / file) == read_file(whole / "checkpoint-12" / file));
  CHECK(f.last_metrics().at("eval_loss").get<double>() > 0);
}

TEST_CASE("the transformer of a language model, or of another head, is where a classifier may start") {
  TaskFixture f;
  SUBCASE("fp32") {}
  SUBCASE("bf16") { f.request.precision = PrecisionName::bf16; }
  ModelCompanions companions;
  Config& c = companions.config.config = test::tiny_config();
  c.vocab_size = Tokenizer::load(f.temporary / "tokenizer").vocab_size();
  c.n_positions = 64;
  const fs::path base = f.temporary / "base";
  fs::create_directory(base);
  CausalLM<any_shape> language_model(c);
  language_model.initialize(9);
  save_model(base, language_model, companions);
  f.request.model_path = base;
  f.request.model_fields = {};
  f.request.settings.max_steps = 1;
  f.request.settings.learning_rate = 0;
  CHECK(f.run() == 0);
  CHECK(test::contains(f.text(), "the transformer's weights are loaded; initialized: score.weight"));
  const std::string head = "score.weight";
  const CheckpointTensors before(base), after(f.out());
  for (const int stage : {0, 1, 3}) {  // 0: what one process wrote
    if (stage > 0) {
      f.request.settings.output_dir = f.temporary / ("stage" + std::to_string(stage));
      f.run_ranks(2, stage);
      CHECK(test::contains(f.text(), "the transformer's weights are loaded; initialized: score.weight"));
    }
    const CheckpointTensors written(f.out());
    CHECK(written.read_vector<float>(head) == after.read_vector<float>(head));
    for (const char* name : {"transformer.wte.weight", "transformer.h.1.mlp.up_proj.weight"})
      CHECK(written.read_vector<float>(name) == before.read_vector<float>(name));
  }
  f.request.eval_only = true;
  CHECK_ERROR(f.run(), "base", "no head", "sequence-classification");
}

TEST_CASE("requests of tasks that do not fit") {
  TaskFixture f;
  const auto refused = [&](auto change, const std::string& part) {
    const TrainingRequest before = f.request;
    change(f.request);
    CHECK_ERROR(f.run(), part);
    f.request = before;
    CHECK_FALSE(fs::exists(f.out()));
  };
  refused([](auto& r) { r.examples.inputs.clear(); }, "--input");
  refused([](auto& r) { r.examples.inputs = {"/nowhere/a.jsonl"}; }, "/nowhere/a.jsonl");
  refused([](auto& r) { r.tokenizer_path.reset(); }, "--tokenizer_path");
  refused([](auto& r) { r.predictions_file = "p"; }, "--eval_only");
  refused([](auto& r) { r.examples.options.problem_type = ProblemType::regression; }, "regression");
  refused([](auto& r) { r.samples.prompts = {"a"}; }, "--sample_prompts");
  refused(
      [&](auto& r) {
        test::write_letter_tokenizer(f.temporary / "no_pad", false);
        r.tokenizer_path = f.temporary / "no_pad";
      },
      "no pad token");
}

TEST_CASE("a classifier's update does not depend on how a batch is cut") {
  TaskFixture f;
  std::vector<float> first;
  for (const auto& cut : {std::pair(12, 1), std::pair(4, 3), std::pair(1, 12)}) {
    const int batch = cut.first, accumulation = cut.second;
    CAPTURE(batch);
    TrainingSettings& s = f.request.settings;
    s.per_device_train_batch_size = batch, s.gradient_accumulation_steps = accumulation;
    s.output_dir = f.temporary / std::to_string(batch);
    s.max_steps = 1;
    CHECK(f.run() == 0);
    const std::vector<float> moments =
        SafetensorsFile(f.out() / "checkpoint-1" / "optimizer.safetensors").read_vector<float>("exp_avg.score.weight");
    if (first.empty()) first = moments;
    double difference = 0, norm = 0;
    for (std::size_t i = 0; i < first.size(); ++i)
      difference += std::pow(double(first[i] - moments[i]), 2), norm += std::pow(double(first[i]), 2);
    CHECK(norm > 0);
    CHECK(std::sqrt(difference / norm) < 1e-4);
  }
}
