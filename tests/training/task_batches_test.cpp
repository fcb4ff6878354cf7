#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/testing/thread_ranks.hpp"
#include "moderngpt2/training/tasks/multiple_choice.hpp"
#include "moderngpt2/training/tasks/question_answering.hpp"
#include "moderngpt2/training/tasks/token_classification.hpp"
#include "support/task_examples.hpp"
#include "training/tiny_run.hpp"

using namespace moderngpt2;

namespace {

/// The loss and gradients of all examples as one batch, cut into micro-batches of `micro`; dropout on.
template <class Task>
struct Update {
  using M = typename Task::template Model<>;
  M model;
  typename M::Gradients gradients;
  double loss = 0;

  Update(const ExampleRange<typename Task::Store>& data, std::int64_t micro)
      : model(config(), cpu::Backend(1)), gradients(model.make_gradients()) {
    model.initialize(5);
    typename Task::Batch batch(data, data.size(), model.config());
    batch.load(data, data.size(), [](std::int64_t i) { return i; });
    auto work = model.workspace(int(micro) * batch.sequences(), data.block_size(), Mode::train);
    for (std::int64_t first = 0; first < data.size(); first += micro) {
      auto pass = pass_of<float>(batch, first, micro);
      pass.training = true;
      loss += double(model.loss_and_gradients(work, batch.ids(first), batch.head_labels(first, micro, batch.divisors()),
                                              gradients, pass));
    }
  }
  static Config config() {
    Config c = test::tiny_config();
    c.vocab_size = 400;
    c.num_labels = 3;
    return c;
  }
};

template <class Task>
void check_cuts(const ExampleRange<typename Task::Store>& data) {
  REQUIRE(data.size() == 4);
  const Update<Task> whole(data, 4);
  for (const int micro : {2, 1}) {
    CAPTURE(micro);
    const Update<Task> cut(data, micro);
    CHECK(std::abs(whole.loss - cut.loss) < 1e-4);
    double difference = 0, norm = 0;
    for (std::int64_t i = 0; i < whole.gradients.matrices.size(); ++i) {
      const double a = double(whole.gradients.matrices[i]), b = double(cut.gradients.matrices[i]);
      difference += (a - b) * (a - b), norm += a * a;
    }
    CHECK(norm > 0);
    CHECK(std::sqrt(difference / norm) < 1e-4);
  }
}

/// The scores of an evaluation; its loss is the mean over all labels, whatever the batch.
template <class Task>
ScoreList check_evaluation(const ExampleRange<typename Task::Store>& data) {
  using M = typename Task::template Model<>;
  M model(Update<Task>::config(), cpu::Backend(1));
  model.initialize(5);
  std::vector<Evaluation> results;
  for (const int batch_size : {4, 3}) {
    typename Task::Batch batch(data, batch_size, model.config());
    auto work = model.workspace(batch_size * data.sequences(), data.block_size(), Mode::infer);
    typename Task::Scores scores(data, model.config());
    results.push_back(*evaluate(model, work, batch, data, batch_size, scores, [](std::int64_t) { return true; }));
    CHECK(scores.size() > 0);
    CHECK(scores.prediction(0).is_object());
  }
  // Ranks take batches of one in turn, and have all scores in the end.
  std::vector<Evaluation> shared(2);
  const auto evaluate_part = [&](distributed::CommunicatorBase& ranks) {
    M own(Update<Task>::config(), cpu::Backend(1));
    own.initialize(5);
    typename Task::Batch batch(data, 1, own.config());
    auto work = own.workspace(data.sequences(), data.block_size(), Mode::infer);
    typename Task::Scores scores(data, own.config());
    shared[std::size_t(ranks.rank())] = *evaluate(
        own, work, batch, data, 1, scores, [](std::int64_t) { return true; }, &ranks);
  };
  for (const std::string& thrown : distributed::run_thread_ranks(2, {.timeout_seconds = 60}, evaluate_part))
    CHECK(thrown == "");
  for (const Evaluation& result : shared) {
    CHECK(result.scores == results[0].scores);
    CHECK(result.labels == results[0].labels);
  }
  CHECK(results[0].loss > 0);
  if (!std::is_same_v<Task, QuestionAnswering>)  // the softmax of question answering includes the padding of its batch
    CHECK(std::abs(results[0].loss - results[1].loss) < 1e-5);
  CHECK(results[0].scores == results[1].scores);
  CHECK(results[0].labels == results[1].labels);
  return results[0].scores;
}

}  // namespace

TEST_CASE("a rank's rows are padded as the longest of all ranks") {
  const auto data = test::examples<TokenExamples>(R"({"tokens": ["ab", "c"], "tags": ["B-X", "O"]}
{"tokens": ["abcd", "efg", "h"], "tags": ["I-X", "O", "B-X"]})");
  TokenLabelBatch batch(data, 1, Update<TokenClassification>::config());
  const auto same = [](std::int64_t i) { return i; };
  batch.pad_to_longest(data, 2, same);
  batch.load(data, 1, same);
  CHECK(batch.time() == 10);
  CHECK(batch.mask(0)[4] == 0);
  batch.load(data, 1, same);
  CHECK(batch.time() == 4);
  batch.pad_to_longest(data, 2, same);
  batch.load(data, 0, same);
  CHECK(batch.tokens() == 0);
}

TEST_CASE("labels of words: batches, cuts, scores") {
  const auto data = test::examples<TokenExamples>(R"({"tokens": ["ab", "c"], "tags": ["B-X", "O"]}
{"tokens": ["abcd", "efg", "h"], "tags": ["I-X", "O", "B-X"]}
{"tokens": ["q"], "tags": ["O"]}
{"tokens": ["r", "s", "t", "u", "v"], "tags": ["O", "O", "B-X", "I-X", "O"]})");
  TokenLabelBatch batch(data, 3, Update<TokenClassification>::config());
  batch.load(data, 2, [](std::int64_t i) { return i; });
  CHECK(batch.time() == 10);
  CHECK(batch.valid() == 5);
  CHECK(batch.tokens() == 20);
  CHECK(batch.ids(0)[4] == 0);
  CHECK(batch.mask(0)[3] == 1);
  CHECK(batch.mask(0)[4] == 0);
  CHECK(batch.head_labels(0, 1, 1).labels[0] == 0);
  CHECK(batch.head_labels(0, 1, 1).labels[1] == ignored_label);
  CHECK(batch.head_labels(1, 1, 1).labels[0] == 1);
  batch.load(data, 1, [](std::int64_t) { return 2; });
  CHECK(batch.mask(0) == nullptr);
  check_cuts<TokenClassification>(data);
  CHECK(check_evaluation<TokenClassification>(data).size() == 4);
}

TEST_CASE("questions: batches, cuts, scores") {
  const auto data = test::examples<QuestionExamples>(
      R"({"question": "who", "context": "abc def ghi jkl mno pqr stu", "answers": {"text": ["def"], "answer_start": [4]}}
{"question": "why?", "context": "xyz", "answers": {"text": [], "answer_start": []}}
{"question": "when", "context": "a b", "answers": {"text": ["b"], "answer_start": [2]}})");
  QuestionBatch batch(data, 4, Update<QuestionAnswering>::config());
  batch.load(data, 4, [](std::int64_t i) { return i; });
  const auto labels = batch.head_labels(0, 4, batch.divisors());
  CHECK(labels.start_positions[0] == 8);
  CHECK(labels.end_positions[0] == 10);
  CHECK(labels.start_positions[1] == 0);
  CHECK(labels.valid == 4);
  check_cuts<QuestionAnswering>(data);
  CHECK(check_evaluation<QuestionAnswering>(data).size() == 2);
}

TEST_CASE("choices: batches, cuts, scores") {
  const auto data = test::examples<ChoiceExamples>(R"({"question": "ab", "choices": ["c", "defg"], "label": 0}
{"question": "abcde", "choices": ["cd", "de"], "label": 1}
{"question": "x", "choices": ["y", "z"], "label": 1}
{"question": "xy", "choices": ["yyyyyy", "z"], "label": 1})");
  ChoiceBatch batch(data, 2, Update<MultipleChoice>::config());
  batch.load(data, 2, [](std::int64_t i) { return i; });
  CHECK(batch.sequences() == 2);
  CHECK(batch.time() == 8);
  CHECK(batch.tokens() == 32);
  CHECK(batch.valid() == 2);
  const auto labels = batch.head_labels(0, 2, batch.divisors());
  CHECK(labels.language.valid == 3 + 7);
  CHECK(labels.language.labels[3] == batch.ids(0)[3]);
  CHECK(labels.language.labels[8] == ignored_label);  // wrong choice
  CHECK(labels.mc_token_ids[0] == 3);
  CHECK(labels.mc_token_ids[1] == 6);
  CHECK(labels.mc_labels[1] == 1);
  check_cuts<MultipleChoice>(data);
  CHECK(check_evaluation<MultipleChoice>(data).size() == 1);
}
