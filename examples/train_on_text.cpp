/// Library example in one page: defines a shape, trains a model on the bytes of a text file, and continues a prompt.

#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/cli/main.hpp"
#include "moderngpt2/cli/options.hpp"
#include "moderngpt2/generation/generate.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/model/heads.hpp"
#include "moderngpt2/training/model_optimizer.hpp"
#include "moderngpt2/training/schedule.hpp"

namespace {

using namespace moderngpt2;

constexpr ModelShape shape{.n_layer = 4,
                           .n_embd = 128,
                           .n_head = 4,
                           .n_kv_head = 2,
                           .head_dim = 32,
                           .n_inner = 512,
                           .activation = Activation::silu,
                           .attention_bias = Toggle::off,
                           .tied_head = Toggle::on};

constexpr Config make_config() {
  Config c;
  c.n_layer = shape.n_layer, c.n_embd = shape.n_embd, c.n_head = shape.n_head, c.n_kv_head = shape.n_kv_head;
  c.head_dim = shape.head_dim, c.n_inner = shape.n_inner, c.activation = shape.activation;
  c.vocab_size = 256;  // byte-level tokens
  c.n_positions = 256;
  c.resid_pdrop = c.embd_pdrop = c.attn_pdrop = 0;
  return c;
}
constexpr Config config = make_config();
static_assert(CausalLM<shape>::parameter_count(config) == 1'017'984);

int program(int argc, char** argv) {
  std::filesystem::path input;
  int steps = 300;
  std::string prompt = "The ";
  Options options("train_on_text", "Trains a small model on the bytes of a text file and continues a prompt.");
  options.add("input", input, "Text file to train on.").required().metavar("FILE");
  options.add("steps", steps, "Training steps of 16 x 128 bytes each.").at_least(1);
  options.add("prompt", prompt, "Prompt to complete after training.");
  options.example("--input README.md --steps 100 --prompt 'The model'", "Train for about 30 seconds");
  options.parse(argc, argv);
  constexpr int batch = 16, time = 128;
  const std::string text = read_file(input);
  if (text.size() <= time)
    throw Error("{} has {} bytes, at least {} are needed", input.string(), text.size(), time + 1);

  CausalLM<shape> model(config);
  model.initialize(42);
  auto work = model.workspace(batch, time, Mode::train);  // all activations, planned once
  auto gradients = model.make_gradients();
  ModelOptimizer optimizer(model, {.weight_decay = 0.1});
  const LearningRateSchedule schedule("cosine", Json::object(), 3e-3, steps / 20, steps);

  std::vector<int> ids(batch * time);
  for (int step = 0; step < steps; ++step) {
    for (int b = 0; b < batch; ++b) {
      const double place = uniform_at(1, std::uint64_t(step) * batch + std::uint64_t(b));
      const char* from = text.data() + std::size_t(place * double(text.size() - time));
      for (int t = 0; t < time; ++t) ids[std::size_t(b * time + t)] = static_cast<unsigned char>(from[t]);
    }
    set_to_zero(model.backend(), gradients);
    // The labels are the ids: the head compares position t with label t + 1.
    const double loss =
        model.loss_and_gradients(work, ids, ids, gradients, {.batch = batch, .time = time, .training = true});
    const auto [norm, applied] = optimizer.step(model, gradients, schedule.at(step));
    if (step % 20 == 0 || step + 1 == steps)
      fmt::print("step {:4} loss {:.4f} gradient norm {:.3f}\n", step, loss, norm);
  }

  std::vector<int> start;
  for (const unsigned char byte : prompt) start.push_back(byte);
  fmt::print("{}", prompt);
  generate(model, start, {.max_new_tokens = 200, .temperature = 0.8}, [](int byte) {
    std::fputc(byte, stdout);
    return true;
  });
  fmt::print("\n");
  return 0;
}

}  // namespace

int main(int argc, char** argv) { return moderngpt2::run_main(argc, argv, program); }
