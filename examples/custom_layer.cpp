/// A layer of your own: y = down(relu(up(x))^2), an MLP without a gate (So et al. 2021). Checks its gradients, then
/// trains a model with it on the bytes of a text file. Works on the CPU in any precision, because it calls the
/// library's operations, and on any scalar type, because its own loop does.
///
///   custom_layer [TEXT_FILE [STEPS]]

#include <array>
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
#include "moderngpt2/testing/test_layer.hpp"
#include "moderngpt2/training/model_optimizer.hpp"
#include "moderngpt2/training/schedule.hpp"

using namespace moderngpt2;

struct SquaredReluMlp {
  // 1. Its type and fields in config.json ("blocks": {"mlp": {...}}), and dimensions from the config.
  static constexpr const char* name = "squared_relu";
  static constexpr std::array fields{LayerField{"bias", 1}};

  int n_embd, n_inner;
  bool bias;

  constexpr explicit SquaredReluMlp(const Config& c)
      : n_embd(c.n_embd), n_inner(c.n_inner), bias(c.blocks.mlp.get<SquaredReluMlp>("bias") != 0) {}

  // 2. Parameters: named once. `describe` serves counting, binding, saving and initialization.
  constexpr Linear<dynamic, dynamic> up_proj() const { return {n_embd, n_inner, bias}; }
  constexpr Linear<dynamic, dynamic> down_proj() const { return {n_inner, n_embd, false, Init::scaled_normal}; }
  template <class E>
  struct Params {
    typename Linear<dynamic, dynamic>::template Params<E> up_proj, down_proj;
  };
  template <class E>
  constexpr void describe(Params<E>& p, auto& visitor) const {
    visitor.nested("up_proj", up_proj(), p.up_proj);
    visitor.nested("down_proj", down_proj(), p.down_proj);
  }

  // 3. Memory: activations saved from forward to backward, and scratch of the backward pass.
  template <class T>
  struct Saved {
    Rows<T> up, h;  // (BT,F) before and after the activation
  };
  template <class T>
  constexpr Saved<T> saved(Arena& arena, int batch, int time) const {
    return {take_rows<T>(arena, batch * time, n_inner), take_rows<T>(arena, batch * time, n_inner)};
  }
  template <class T>
  struct Scratch {
    Rows<T> dh;  // (BT,F)
  };
  template <class T>
  constexpr Scratch<T> scratch(Arena& arena, int batch, int time) const {
    return {take_rows<T>(arena, batch * time, n_inner)};
  }

  // 4. Forward: (BT,C) -> (BT,C).
  template <class B, class T, class E>
  void forward(B& b, Rows<T> y, Rows<const T> x, const Params<E>& p, const Saved<T>& s, const Pass<real_t<T>>&,
               int /*layer*/) const {
    up_proj().forward(b, s.up, x, p.up_proj);
    for (std::int64_t i = 0; i < s.up.size(); ++i) {
      const compute_t<T> up(s.up.data[i]);
      s.h.data[i] = T(real_part(up) > 0 ? up * up : compute_t<T>(0));
    }
    down_proj().forward(b, y, Rows<const T>(s.h), p.down_proj);
  }

  // 5. Backward: dx from dy; weight gradients are accumulated into g.
  template <class B, class T, class E, class G>
  void backward(B& b, Rows<T> dx, Rows<const T> dy, Rows<const T> x, const Params<E>& p, const Params<G>& g,
                const Saved<T>& s, const Scratch<T>& scratch, const Pass<real_t<T>>&, int /*layer*/) const {
    down_proj().backward(b, scratch.dh, dy, Rows<const T>(s.h), p.down_proj, g.down_proj);
    for (std::int64_t i = 0; i < s.up.size(); ++i) {
      const compute_t<T> up(s.up.data[i]), dh(scratch.dh.data[i]);
      scratch.dh.data[i] = T(real_part(up) > 0 ? dh * compute_t<T>(2) * up : compute_t<T>(0));
    }
    up_proj().backward(b, dx, Rows<const T>(scratch.dh), x, p.up_proj, g.up_proj);
  }
};
static_assert(MixerFor<SquaredReluMlp, cpu::Backend, Fp32>);  // a missing member is an error that names it

using MyModel = CausalLM<any_shape, cpu::Backend, Fp32, Blocks<Standard, SquaredReluMlp>>;

int main(int argc, char** argv) {
  Config config = size_config(2, 64, 4, 256);  // layers, width, heads, vocabulary: tokens are bytes
  config.n_positions = 64;
  config.resid_pdrop = config.embd_pdrop = config.attn_pdrop = 0;

  // Compares gradients with central differences and the complex step, in double on the reference backend, then fp32 on
  // the CPU with these.
  Config tiny = config;
  tiny.n_embd = 12, tiny.n_inner = 20;
  const LayerReport report = test_layer(SquaredReluMlp(tiny), {.in = 12, .out = 12});
  std::printf("SquaredReluMlp: %s\n", report.text().c_str());
  if (!report.good() || !report.same_bits) return 1;
  if (argc < 2) return 0;

  constexpr int batch = 8, time = 64;
  const std::string text = read_file(argv[1]);
  const int steps = argc > 2 ? std::atoi(argv[2]) : 100;
  if (text.size() <= time) return std::printf("%s is too short\n", argv[1]), 1;
  MyModel model(config);
  model.initialize(42);
  auto work = model.workspace(batch, time, Mode::train);
  auto gradients = model.make_gradients();
  ModelOptimizer optimizer(model, {.weight_decay = 0.1});
  const LearningRateSchedule schedule("cosine", Json::object(), 1e-2, steps / 20, steps);
  std::vector<int> ids(batch * time);
  double first = 0, last = 0;
  for (int step = 0; step < steps; ++step) {
    for (int b = 0; b < batch; ++b) {
      const double place = uniform_at(1, std::uint64_t(step) * batch + std::uint64_t(b));
      const char* from = text.data() + std::size_t(place * double(text.size() - time));
      for (int t = 0; t < time; ++t) ids[std::size_t(b * time + t)] = static_cast<unsigned char>(from[t]);
    }
    set_to_zero(model.backend(), gradients);
    last = model.loss_and_gradients(work, ids.data(), {ids.data()}, gradients,
                                    {.batch = batch, .time = time, .training = true});
    optimizer.step(model, gradients, schedule.at(step));
    if (step == 0) first = last;
    if (step % 20 == 0 || step + 1 == steps) std::printf("step %3d loss %.3f\n", step, last);
  }
  return last < first - 1 ? 0 : 1;
}
