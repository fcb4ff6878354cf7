#include <cstdint>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include <moderngpt2/moderngpt2.hpp>

using namespace moderngpt2;

/// Questions with answers: ids, labels and mask, (rows,time) each.
struct Batch {
  int rows, time;
  std::vector<int> ids{}, labels{};
  std::vector<std::int8_t> mask{};
};

/// Pads to the longest text. Only answers have labels.
Batch make_batch(const Tokenizer& tokenizer, const std::vector<std::pair<std::string, std::string>>& texts) {
  Batch batch{.rows = int(texts.size()), .time = 0};
  std::vector<std::pair<std::vector<int>, std::size_t>> encoded;  // ids, length of the question
  for (const auto& [question, answer] : texts) {
    auto& [ids, length] = encoded.emplace_back(tokenizer.encode(question), 0);
    length = ids.size();
    tokenizer.encode(answer, ids);
    ids.push_back(*tokenizer.eos_id());
    batch.time = std::max(batch.time, int(ids.size()));
  }
  for (const auto& [ids, length] : encoded)
    for (std::size_t t = 0; t < std::size_t(batch.time); ++t) {
      const bool is_text = t < ids.size();
      batch.ids.push_back(is_text ? ids[t] : *tokenizer.pad_id());
      batch.labels.push_back(is_text && t >= length ? ids[t] : ignored_label);
      batch.mask.push_back(is_text);
    }
  return batch;
}

int main() {
  const Tokenizer tokenizer = Tokenizer::load("my_model");
  auto model = load_model<CausalLM<any_shape>>("my_model");
  const std::vector<Batch> batches{make_batch(tokenizer, {{"a cat: ", "meow"}, {"a dog says: ", "woof"}}),
                                   make_batch(tokenizer, {{"a cow: ", "moo"}, {"a mouse: ", "squeak"}})};
  std::int64_t valid = 0;  // labels of the whole step, for the mean over all its micro-batches
  for (const Batch& b : batches) valid += LanguageModelHead<dynamic>::count_targets(b.labels.data(), b.rows, b.time);

  auto work = model.workspace(2, 64, Mode::train);  // for up to 2 x 64 tokens
  auto gradients = model.make_gradients();
  ModelOptimizer optimizer(model, {.weight_decay = 0.1, .max_grad_norm = 1.0});  // AdamW
  const int steps = 30;
  const LearningRateSchedule schedule("cosine", Json::object(), 3e-3, steps / 10, steps);
  for (int step = 0; step < steps; ++step) {
    set_to_zero(model.backend(), gradients);  // loss_and_gradients() adds to them
    double loss = 0;
    std::int64_t rows = 0;
    for (const Batch& b : batches) {
      loss += model.loss_and_gradients(work, b.ids.data(), {b.labels.data(), valid}, gradients,
                                       {.batch = b.rows,
                                        .time = b.time,
                                        .key_mask = b.mask.data(),
                                        .training = true,  // with dropout, which depends on seed, step and row
                                        .seed = 42,
                                        .step = std::uint64_t(step),
                                        .first_sequence = rows});
      rows += b.rows;
    }
    const auto [norm, applied] = optimizer.step(model, gradients, schedule.at(step));
    if (step % 10 == 9) std::printf("step %d: loss %.3f, gradient norm %.2f\n", step + 1, loss, norm);
    if (!applied) std::printf("step %d was skipped: its gradients are not finite\n", step + 1);
  }
  save_model("my_answers", model, {.tokenizer = TokenizerFiles::read("my_model")});
  return 0;
}
