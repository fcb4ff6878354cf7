/// A head of your own: a value head, which predicts one number for each token, trained with a mean squared error. Here
/// the number is the discounted count of line ends to come, as the value of a state in reinforcement learning: the sum
/// of 0.9^k over the line ends k tokens ahead. Trains a model with it on the bytes of a text file.
///
///   custom_head TEXT_FILE [STEPS]

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "moderngpt2/config/presets.hpp"
#include "moderngpt2/core/random.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/layers/concepts.hpp"
#include "moderngpt2/layers/linear.hpp"
#include "moderngpt2/model/heads.hpp"
#include "moderngpt2/training/model_optimizer.hpp"
#include "moderngpt2/training/schedule.hpp"

using namespace moderngpt2;

struct ValueHead {
  static constexpr const char* architecture = "ModernGPT2ForValues";  // class in config.json

  int n_embd;

  constexpr explicit ValueHead(const Config& c) : n_embd(c.n_embd) {}

  // 1. Parameters: a vector and a bias.
  constexpr Linear<dynamic, 1> value() const { return {n_embd, 1, true}; }
  template <class E>
  struct Params {
    typename Linear<dynamic, 1>::template Params<E> value;
  };
  template <class E>
  constexpr void describe(Params<E>& p, auto& visitor) const {
    visitor.nested("value", value(), p.value);
  }

  // 2. Memory: the predictions, which stay readable after a pass, and their gradients.
  template <class T>
  struct Saved {
    Rows<compute_t<T>> values, d_values;  // (BT,1)
  };
  template <class T>
  constexpr Saved<T> saved(Arena& arena, int batch, int time) const {
    return {take_rows<compute_t<T>>(arena, batch * time, 1), take_rows<compute_t<T>>(arena, batch * time, 1)};
  }
  constexpr HeadSize size(int batch, int time) const { return {.rows = batch * time, .scores = 1}; }

  // 3. Loss of the final hidden states (BT,C) and, if dhidden is given, its gradients.
  struct Labels {
    const float* values = nullptr;  // (B,T); null: predictions only
  };
  template <class B, class T, class E, class G>
  loss_of<B, T> loss(B& b, Rows<const T> hidden, Rows<T> dhidden, const Params<E>& p, const Params<G>& g,
                     const auto& /*wte*/, const auto& /*dwte*/, const Saved<T>& s, const int* /*ids*/,
                     const Labels& labels, const Pass<real_t<T>>& pass) const {
    value().forward(b, s.values, hidden, p.value);
    if (!labels.values) return {};
    const real_t<T> mean = real_t<T>(1) / real_t<T>(hidden.count);
    const loss_of<B, T> sum =
        mean_squared_error(b, s.d_values, s.values, upload(b, labels.values, hidden.count), mean * pass.loss_scale);
    if (dhidden.data) value().backward(b, dhidden, Rows<const compute_t<T>>(s.d_values), hidden, p.value, g.value);
    return sum * real_t<sum_t<T>>(1.0 / hidden.count);
  }
};
static_assert(HeadFor<ValueHead, cpu::Backend, Fp32>);  // a missing member is an error that names it

using ValueModel = Model<any_shape, ValueHead, cpu::Backend, Fp32>;

int main(int argc, char** argv) {
  if (argc < 2) return std::printf("usage: custom_head TEXT_FILE [STEPS]\n"), 2;
  constexpr int batch = 8, time = 64;
  const std::string text = read_file(argv[1]);
  const int steps = argc > 2 ? std::atoi(argv[2]) : 100;
  if (text.size() <= time) return std::printf("%s is too short\n", argv[1]), 1;
  std::vector<float> values(text.size());
  for (std::size_t i = text.size() - 1; i-- > 0;) values[i] = 0.9f * (values[i + 1] + float(text[i + 1] == '\n'));

  Config config = size_config(2, 64, 4, 256);  // layers, width, heads, vocabulary: tokens are bytes
  config.n_positions = time;
  config.resid_pdrop = config.embd_pdrop = config.attn_pdrop = 0;
  ValueModel model(config);
  model.initialize(42);
  auto work = model.workspace(batch, time, Mode::train);
  auto gradients = model.make_gradients();
  ModelOptimizer optimizer(model, {.weight_decay = 0.1});
  const LearningRateSchedule schedule("cosine", Json::object(), 3e-3, steps / 20, steps);
  std::vector<int> ids(batch * time);
  std::vector<float> labels(batch * time);
  double first = 0, last = 0;  // means of the first and last ten steps
  for (int step = 0; step < steps; ++step) {
    for (int b = 0; b < batch; ++b) {
      const double place = uniform_at(1, std::uint64_t(step) * batch + std::uint64_t(b));
      const std::size_t begin = std::size_t(place * double(text.size() - time));
      std::transform(text.data() + begin, text.data() + begin + time, ids.data() + b * time,
                     [](char byte) { return int(static_cast<unsigned char>(byte)); });
      std::copy_n(values.data() + begin, time, labels.data() + b * time);
    }
    set_to_zero(model.backend(), gradients);
    const double loss = model.loss_and_gradients(work, ids.data(), {labels.data()}, gradients,
                                                 {.batch = batch, .time = time, .training = true});
    optimizer.step(model, gradients, schedule.at(step));
    if (step < 10) first += loss / 10;
    if (step >= steps - 10) last += loss / 10;
    if (step % 20 == 0 || step + 1 == steps) std::printf("step %3d mean squared error %.4f\n", step, loss);
  }
  std::printf("first ten steps %.4f, last ten %.4f\n", first, last);

  // Predictions without labels: model.loss() leaves them in the workspace.
  model.loss(work, ids.data(), {}, {.batch = batch, .time = time});
  for (int t = 0; t < 16; ++t)
    std::printf("%s%.2f (%.2f)", t % 4 == 0 ? "\n  " : "   ", double(work.views.head.values.row(t)[0]),
                double(labels[std::size_t(t)]));
  std::printf("\n");
  return last < 0.8 * first ? 0 : 1;
}
