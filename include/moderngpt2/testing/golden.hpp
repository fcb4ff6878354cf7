#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "moderngpt2/io/model_files.hpp"
#include "moderngpt2/model/heads.hpp"
#include "moderngpt2/testing/golden_case.hpp"
#include "moderngpt2/training/model_optimizer.hpp"

namespace moderngpt2::golden {

namespace detail {

/// Model of a case with its inputs.
template <class M>
struct Session {
  using T = typename M::T;
  using R = typename M::R;

  const Case& c;
  M model;
  std::vector<int> ids, labels;
  std::vector<std::int8_t> mask;
  int rows, time;

  Session(const Case& golden, typename M::Backend backend)
      : c(golden), model(golden.config.config, std::move(backend)) {
    load_weights(model, CheckpointTensors(c.folder), c.config);
    ids = c.integers("input_ids");
    time = int(c.shape("input_ids").back());
    rows = int(ids.size()) / time;
    if (c.uses_mask())
      for (int m : c.integers("attention_mask")) mask.push_back(std::int8_t(m != 0));
  }
  Pass<R> pass() const {
    Pass<R> p;
    p.batch = rows, p.time = time, p.key_mask = mask.empty() ? nullptr : mask.data();
    return p;
  }
  /// Copies rows of the backend's memory to doubles.
  template <class E>
  std::vector<double> doubles(Rows<E> from) const {
    std::vector<E> here(std::size_t(from.size()));
    download(model.backend(), here.data(), static_cast<const E*>(from.data), from.size());
    return std::vector<double>(here.begin(), here.end());
  }
};

template <class M, class E>
void store_parameters(Results& out, const std::string& prefix, const M& model, ParameterPlaces<E> places) {
  for (const ParameterInfo& p : model.parameters())
    places.visit(p, [&]<class T>(T* from) {
      std::vector<T> here(std::size_t(p.size));
      download(model.backend(), here.data(), static_cast<const T*>(from), p.size);
      out.values[prefix + p.name].assign(here.begin(), here.end());
    });
}

/// Runs forward and backward pass of the whole batch: loss and gradients.
template <class M, class Labels>
void run_step(Session<M>& s, typename M::Work& work, const Labels& labels, Results& out) {
  auto gradients = s.model.make_gradients();
  out.values["loss"] = {double(s.model.loss_and_gradients(work, s.ids.data(), labels, gradients, s.pass()))};
  store_parameters(out, "grad.", s.model, ParameterPlaces(gradients));
}

/// Runs a forward pass: hidden states.
template <class M>
void run_hidden(Session<M>& s, typename M::Work& work, Results& out) {
  const auto hidden = s.model.forward(work, s.ids.data(), s.pass());
  const int n_layer = s.model.config().n_layer;
  for (int i = 0; i < n_layer; ++i)
    out.values["hidden." + std::to_string(i)] = s.doubles(work.views.x[std::size_t(2 * i)]);
  out.values["hidden." + std::to_string(n_layer)] = s.doubles(hidden);
}

template <class M>
void run_logits(Session<M>& s, typename M::Work& work, Results& out) {
  using T = typename M::T;
  using Score = typename M::Score;
  const int vocab = s.model.config().vocab_size;
  const FlatBuffer<Score, typename M::Memory> memory(std::int64_t(s.rows) * s.time * vocab);
  const Rows<Score> logits(memory.data(), s.rows * s.time, vocab);
  const Rows<T> hidden = s.model.forward(work, s.ids.data(), s.pass());
  s.model.logits(logits, Rows<const T>(hidden));
  out.values["logits"] = s.doubles(logits);
}

/// Greedy completion of input_ids[0, :8], without a KV cache.
template <class M>
void run_greedy(Session<M>& s, Results& out) {
  using T = typename M::T;
  using Score = typename M::Score;
  const int total = int(s.c.shape("greedy").back()), vocab = s.model.config().vocab_size;
  const int prompt = total - int(s.c.shape("greedy.margin").back());
  std::vector<int> tokens(s.ids.begin(), s.ids.begin() + prompt);
  const FlatBuffer<Score, typename M::Memory> memory(vocab);
  const Rows<Score> logits(memory.data(), 1, vocab);
  auto work = s.model.workspace(1, total, Mode::infer);
  while (int(tokens.size()) < total) {
    const int n = int(tokens.size());
    const Rows<T> hidden = s.model.forward(work, tokens.data(), {.batch = 1, .time = n});
    s.model.logits(logits, Rows<const T>(hidden.slice(n - 1, 1)));
    const std::vector<double> scores = s.doubles(logits);
    tokens.push_back(int(std::max_element(scores.begin(), scores.end()) - scores.begin()));
  }
  out.greedy = tokens;
}

/// Runs the optimizer steps of case.json, from the weights of the case.
template <class M>
void run_training(Session<M>& s, Results& out) {
  const std::string where = (s.c.folder / "case.json").string();
  const Json* found = find_field(s.c.description, "train", where);
  if (!found) throw Error("{}: train is missing, but expected.safetensors has train.batches", where);
  const Json& train = *found;
  const Json* betas = find_field(train, "betas", where);
  if (!betas || !betas->is_array() || betas->size() != 2) throw Error("{}: betas must be a list of two numbers", where);
  const double learning_rate = get_field<double>(train, "learning_rate", where);
  ModelOptimizer optimizer(s.model, {.weight_decay = get_field<double>(train, "weight_decay", where),
                                     .adam_beta1 = json_as<double>((*betas)[0], "betas", where),
                                     .adam_beta2 = json_as<double>((*betas)[1], "betas", where),
                                     .adam_epsilon = get_field<double>(train, "eps", where),
                                     .max_grad_norm = get_field<double>(train, "max_grad_norm", where)});
  const CheckpointTensors tensors(s.c.folder);
  optimizer.fill(s.model, FileWeights(tensors, s.c.config));
  const std::vector<int> batches = s.c.integers("train.batches");
  const auto& shape = s.c.shape("train.batches");  // (steps,B,T)
  const int steps = int(shape[0]), batch = int(shape[1]), time = int(shape[2]);
  auto work = s.model.workspace(batch, time, Mode::train);
  auto gradients = s.model.make_gradients();
  for (int step = 0; step < steps; ++step) {
    const int* ids = batches.data() + std::int64_t(step) * batch * time;
    set_to_zero(s.model.backend(), gradients);
    const typename M::Head::Labels labels{ids};
    out.values["train.losses"].push_back(
        double(s.model.loss_and_gradients(work, ids, labels, gradients, {.batch = batch, .time = time})));
    out.values["train.grad_norms"].push_back(optimizer.step(s.model, gradients, learning_rate).grad_norm);
  }
  store_parameters(out, "train.final.", s.model, optimizer.masters().all(s.model));
}

}  // namespace detail

/// Runs all parts of a language-model case.
template <class M>
Results run_language_model(const Case& c, typename M::Backend backend) {
  detail::Session<M> s(c, std::move(backend));
  Results out;
  auto work = s.model.workspace(s.rows, s.time, Mode::train);
  detail::run_hidden(s, work, out);
  detail::run_logits(s, work, out);
  s.labels = c.integers("labels");
  detail::run_step(s, work, typename M::Head::Labels{s.labels.data()}, out);
  if (c.has("greedy")) detail::run_greedy(s, out);
  if (c.has("train.batches")) detail::run_training(s, out);
  return out;
}

template <class M>
Results run_double_heads(const Case& c, typename M::Backend backend) {
  detail::Session<M> s(c, std::move(backend));
  Results out;
  auto work = s.model.workspace(s.rows, s.time, Mode::train);
  s.labels = c.integers("labels");
  std::vector<int> positions, answers;
  typename M::Head::Labels labels{.language = {s.labels.data()}};
  if (c.shape("input_ids").size() == 3) labels.choices = int(c.shape("input_ids")[1]);
  if (c.has("mc_token_ids")) positions = c.integers("mc_token_ids"), labels.mc_token_ids = positions.data();
  if (c.has("mc_labels")) answers = c.integers("mc_labels"), labels.mc_labels = answers.data();
  detail::run_step(s, work, labels, out);
  out.values["mc_logits"] = s.doubles(work.views.head.mc_logits);
  // The step returns the sum of both losses; without mc_labels, loss() returns the language loss.
  labels.mc_labels = nullptr;
  const double language = double(s.model.loss(work, s.ids.data(), labels, s.pass()));
  out.values["mc_loss"] = {out.values["loss"][0] - language};
  out.values["loss"] = {language};
  detail::run_logits(s, work, out);
  return out;
}

template <class M>
Results run_sequence_classifier(const Case& c, typename M::Backend backend) {
  detail::Session<M> s(c, std::move(backend));
  Results out;
  auto work = s.model.workspace(s.rows, s.time, Mode::train);
  typename M::Head::template LabelsOf<typename M::R> labels;
  std::vector<typename M::R> values;
  if (c.expected.at("labels").dtype == Dtype::f32)
    values = c.expected.read_vector<typename M::R>("labels"), labels.values = values.data();
  else
    s.labels = c.integers("labels"), labels.classes = s.labels.data();
  detail::run_step(s, work, labels, out);
  out.values["logits"] = s.doubles(work.views.head.logits);
  return out;
}

template <class M>
Results run_token_classifier(const Case& c, typename M::Backend backend) {
  detail::Session<M> s(c, std::move(backend));
  Results out;
  auto work = s.model.workspace(s.rows, s.time, Mode::train);
  s.labels = c.integers("labels");
  detail::run_step(s, work, typename M::Head::Labels{s.labels.data()}, out);
  out.values["logits"] = s.doubles(work.views.head.logits);
  return out;
}

template <class M>
Results run_question_answerer(const Case& c, typename M::Backend backend) {
  detail::Session<M> s(c, std::move(backend));
  Results out;
  auto work = s.model.workspace(s.rows, s.time, Mode::train);
  const std::vector<int> starts = c.integers("start_positions"), ends = c.integers("end_positions");
  detail::run_step(s, work, typename M::Head::Labels{starts.data(), ends.data()}, out);
  out.values["start_logits"] = s.doubles(work.views.head.start);
  out.values["end_logits"] = s.doubles(work.views.head.end);
  return out;
}

/// Runs a case with the model of shape S that its config names.
template <ModelShape S, class Backend, class Precision>
Results run(const Case& c, Backend backend) {
  const std::string& kind = c.config.architecture;
  if (kind == "ModernGPT2DoubleHeadsModel")
    return run_double_heads<DoubleHeadsModel<S, Backend, Precision>>(c, std::move(backend));
  if (kind == "ModernGPT2ForSequenceClassification")
    return run_sequence_classifier<SequenceClassifier<S, Backend, Precision>>(c, std::move(backend));
  if (kind == "ModernGPT2ForTokenClassification")
    return run_token_classifier<TokenClassifier<S, Backend, Precision>>(c, std::move(backend));
  if (kind == "ModernGPT2ForQuestionAnswering")
    return run_question_answerer<QuestionAnswerer<S, Backend, Precision>>(c, std::move(backend));
  return run_language_model<CausalLM<S, Backend, Precision>>(c, std::move(backend));
}

}  // namespace moderngpt2::golden
