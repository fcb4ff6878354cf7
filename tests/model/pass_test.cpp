#include <climits>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "io/expect_error.hpp"
#include "moderngpt2/model/heads.hpp"

using namespace moderngpt2;

namespace {

Config pass_config() {
  Config c;
  c.n_layer = 1, c.n_embd = 16, c.n_head = 2, c.n_kv_head = 1, c.head_dim = 8, c.n_inner = 32;
  c.vocab_size = 50, c.n_positions = 16, c.num_labels = 3, c.pad_token_id = 0;
  return c;
}

/// Model with memory for passes of 2 x 8 tokens.
template <class M>
struct PassRun {
  M model{pass_config(), cpu::Backend(1)};
  typename M::Work work = model.workspace(2, 8, Mode::train);
  typename M::Gradients gradients = model.make_gradients();
  std::vector<int> ids;
  Pass<float> pass{.batch = 2, .time = 8};

  PassRun() {
    model.initialize(1);
    for (int i = 0; i < 16; ++i) ids.push_back(1 + i * 7 % 49);
  }
  template <class Labels = typename M::Head::Labels>
  double gradient(const Labels& labels) {
    return model.loss_and_gradients(work, ids.data(), labels, gradients, pass);
  }
  template <class Labels = typename M::Head::Labels>
  double loss(const Labels& labels) {
    return model.loss(work, ids.data(), labels, pass);
  }
};

}  // namespace

TEST_CASE("a pass that does not fit is an error of one line") {
  PassRun<CausalLM<any_shape>> run;
  const LanguageModelLabels labels{run.ids.data()};
  const auto with = [&](int batch, int time, int past = 0) {
    run.pass.batch = batch, run.pass.time = time, run.pass.past = past;
    return run.gradient(labels);
  };
  CHECK_ERROR(with(0, 8), "a pass of batch 0 and time 8", "at least 1");
  CHECK_ERROR(with(-1, 8), "batch -1");
  CHECK_ERROR(with(2, 0), "time 0");
  CHECK_ERROR(with(2, -8), "time -8");
  CHECK_ERROR(with(2, INT_MIN), "batch 2 and time");
  CHECK_ERROR(with(INT_MAX, 16), "their product at most");
  CHECK_ERROR(with(4, 8), "activations of its workspace", "Reduce batch or length");
  CHECK_ERROR(with(2, 17), "a sequence of 17 tokens is longer than the model's n_positions 16");
  CHECK_ERROR(with(2, 8, INT_MAX), "n_positions 16");
  CHECK_ERROR(with(2, 8, -1), "-1 tokens in the cache");
  CHECK(with(2, 8) > 0);  // the workspace is still usable
  CHECK(with(1, 3) > 0);
  run.pass = {.batch = 2, .time = 8};
  CHECK_ERROR(run.model.forward(run.work, static_cast<const int*>(nullptr), run.pass), "ids are null");
  CHECK_ERROR(run.model.workspace(0, 8, Mode::infer), "a pass of batch 0");
  auto inference = run.model.workspace(2, 8, Mode::infer);
  CHECK_ERROR(run.model.loss_and_gradients(inference, run.ids, run.ids, run.gradients, run.pass), "Mode::infer",
              "Mode::train");
  decltype(run.gradients) none;
  CHECK_ERROR(run.model.loss_and_gradients(run.work, run.ids, run.ids, none, run.pass), "make_gradients()");
}

TEST_CASE("ids and labels as spans are compared with the pass, and give the results of pointers") {
  PassRun<CausalLM<any_shape>> run;
  CHECK(run.model.loss(run.work, run.ids, run.ids, run.pass) == run.loss(LanguageModelLabels{run.ids.data()}));
  CHECK(run.model.loss_and_gradients(run.work, run.ids, {run.ids.data()}, run.gradients, run.pass) ==
        run.model.loss_and_gradients(run.work, run.ids, std::span<const int>(run.ids), run.gradients, run.pass));
  CHECK(run.model.forward(run.work, run.ids, run.pass).count == 16);
  const std::vector<int> few(15, 1);
  CHECK_ERROR(run.model.forward(run.work, few, run.pass), "ids: 15 elements, but the pass needs 16");
  CHECK_ERROR(run.model.loss(run.work, few, run.ids, run.pass), "ids: 15 elements");
  CHECK_ERROR(run.model.loss(run.work, run.ids, few, run.pass), "labels: 15 elements, but the pass needs 16");
  CHECK_ERROR(run.model.loss_and_gradients(run.work, run.ids, few, run.gradients, run.pass), "labels: 15 elements");

  PassRun<SequenceClassifier<any_shape>> classifier;
  const std::vector<int> classes{2, 0};
  const double loss = classifier.model.loss(classifier.work, classifier.ids, classes, classifier.pass);
  CHECK(loss > 0);
  CHECK(loss == classifier.loss(SequenceClassificationHead<dynamic>::Labels{.classes = classes.data()}));
  CHECK_ERROR(classifier.model.loss(classifier.work, classifier.ids, few, classifier.pass),
              "labels: 15 elements, but the pass needs 2");
}

TEST_CASE("logits of another size are an error") {
  PassRun<CausalLM<any_shape>> run;
  const Rows<float> hidden = run.model.forward(run.work, run.ids, run.pass);
  std::vector<float> out(17 * 50);
  CHECK_ERROR(run.model.logits(Rows<float>(out.data(), 17, 50), hidden), "logits of 17 rows", "16 rows");
  CHECK_ERROR(run.model.logits(Rows<float>(out.data(), 16, 40), hidden), "40 columns", "vocabulary of 50");
  CHECK_ERROR(run.model.logits(Rows<float>(nullptr, 16, 50), hidden), "logits of 16 rows");
  run.model.logits(Rows<float>(out.data(), 16, 50), hidden);
}

TEST_CASE("missing labels are an error; classifiers accept none in a pass without gradients") {
  PassRun<CausalLM<any_shape>> language;
  CHECK_ERROR(language.loss({}), "LanguageModelLabels::labels is null");
  CHECK_ERROR(language.gradient({}), "LanguageModelLabels::labels is null");
  PassRun<SequenceClassifier<any_shape>> sequence;
  CHECK(sequence.loss({}) == 0);
  CHECK_ERROR(sequence.gradient({}), "classes and values are null");
  PassRun<TokenClassifier<any_shape>> token;
  CHECK(token.loss({}) == 0);
  CHECK_ERROR(token.gradient({}), "labels is null");
  PassRun<QuestionAnswerer<any_shape>> question;
  const std::vector<int> places{1, 2};
  CHECK(question.loss({}) == 0);
  CHECK_ERROR(question.gradient({}), "start_positions and end_positions are null");
  CHECK_ERROR(question.loss({.start_positions = places.data()}), "end_positions is null");
  CHECK_ERROR(question.gradient({.end_positions = places.data()}), "start_positions is null");
  PassRun<DoubleHeadsModel<any_shape>> choice;
  CHECK(choice.loss({}) == 0);
  CHECK_ERROR(choice.gradient({}), "language.labels and mc_labels are null");
}
