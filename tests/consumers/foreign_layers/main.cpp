// Models with foreign layers: gradients, training on real text, checkpoints, generation, bf16 and ranks.
//
//   PROGRAM check TEXT_FILE FOLDER         everything in one process; checkpoints are written to the folder
//   PROGRAM ranks TEXT_FILE FOLDER STAGE   as each process of an MPI job, in this ZeRO stage

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "layers.hpp"
#include "moderngpt2/config/presets.hpp"
#include "moderngpt2/data/blocks.hpp"
#include "moderngpt2/generation/generate.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/io/model_files.hpp"
#include "moderngpt2/testing/test_layer.hpp"
#include "moderngpt2/testing/test_model.hpp"
#include "moderngpt2/training/trainer.hpp"
#ifdef MODERNGPT2_HAVE_MPI
#include "moderngpt2/distributed/mpi.hpp"
#endif

using namespace moderngpt2;
using foreign::ChannelScaling, foreign::NormWithoutGain, foreign::SlidingWindowAttention, foreign::TwoExperts;
namespace fs = std::filesystem;

namespace {

using Layers = Blocks<FOREIGN_BLOCKS>;
using Model = CausalLM<any_shape, cpu::Backend, Fp32, Layers>;
using RoundedModel = CausalLM<any_shape, cpu::Backend, Bf16, Layers>;

static_assert(AttentionFor<SlidingWindowAttention, cpu::Backend, Fp32>);
static_assert(MixerFor<TwoExperts, cpu::Backend, Bf16>);
static_assert(NormFor<NormWithoutGain, reference::Backend, Exact<double>>);

constexpr int time = 32;

Config small_model() {
  Config c = size_config(4, 48, 4, 256);  // tokens are bytes
  c.n_kv_head = 2;
  c.n_inner = 96;
  c.n_positions = 64;
  c.resid_pdrop = c.embd_pdrop = c.attn_pdrop = 0;
  if constexpr (std::is_same_v<Model::Layers::Attention, SlidingWindowAttention>) c.blocks.attention.set("window", 5);
  return c;
}

int failures = 0;
void check(const char* what, bool good) {
  std::printf("%s: %s\n", what, good ? "yes" : "NO");
  failures += !good;
}

void check_gradients() {
  Config c = size_config(2, 12, 2, 19);
  c.n_kv_head = 1, c.n_inner = 20, c.n_positions = 16;
  c.resid_pdrop = c.embd_pdrop = c.attn_pdrop = 0;
  const LayerTest test{.config = c, .in = 12, .out = 12};
  const auto print = [](const char* what, const auto& report) {
    std::printf("%s: %s\n", what, report.text().c_str());
    check("gradients are right", report.good() && report.same_bits);
  };
  print("attention", test_layer(Model::Layers::Attention(c), test));
  print("MLP", test_layer(Model::Layers::Mlp(c), test));
  print("norm", test_layer(Model::Layers::Norm(c), test));
  print("model", test_blocks<Layers>(c));
}

TrainAndEval blocks_of(const std::string& text) {
  std::vector<std::int32_t> ids;
  for (const unsigned char byte : text) ids.push_back(byte);
  return hold_out(std::make_shared<MemoryBlocks>(ids, time), 8);
}

struct Run {
  std::vector<double> losses, grad_norms;
  std::vector<float> weights;
};

/// Trains to step `steps`, or resumes a checkpoint.
template <class M>
Run train(const std::string& text, const fs::path& output_dir, int steps, const fs::path& from = {},
          distributed::CommunicatorBase* ranks = nullptr, int zero_stage = 1) {
  const TrainAndEval data = blocks_of(text);
  const int world_size = ranks ? ranks->size() : 1;
  TrainingSettings settings;
  settings.output_dir = output_dir;
  settings.max_steps = steps, settings.save_steps = 50, settings.logging_steps = 10, settings.eval_steps = 1000;
  settings.per_device_train_batch_size = 8 / world_size, settings.world_size = world_size;
  settings.zero_stage = zero_stage;
  settings.bucket_elements = 3000;
  settings.learning_rate = 1e-2;
  fs::create_directories(output_dir);
  M model(small_model(), cpu::Backend(1), distributed::buffer_granule(world_size));
  ModelCompanions companions;
  companions.config.config = model.config();
  Run run;
  TrainingHooks hooks;
  hooks.on_step = [&](const StepReport& report) {
    run.losses.push_back(report.loss), run.grad_norms.push_back(report.grad_norm);
  };
  Trainer<M> trainer(model, data, companions, settings, hooks, ranks);
  if (from.empty())
    trainer.initialize(1);
  else
    trainer.resume(open_checkpoint(from));
  trainer.run();
  if (settings.shards_weights()) return run;
  run.weights.assign(model.weights().vectors.data(), model.weights().vectors.data() + model.weights().vectors.size());
  for (std::int64_t i = 0; i < model.weights().matrices.size(); ++i)
    run.weights.push_back(float(model.weights().matrices.data()[i]));
  return run;
}

double mean_of_last(const std::vector<double>& losses) {
  double sum = 0;
  for (std::size_t i = losses.size() - 10; i < losses.size(); ++i) sum += losses[i];
  return sum / 10;
}

/// Greedy completion by forward passes over the whole text, without a cache.
std::vector<int> complete_without_cache(Model& model, std::vector<int> ids, int tokens) {
  auto work = model.workspace(1, model.config().n_positions, Mode::infer);
  std::vector<float> logits(std::size_t(model.config().vocab_size));
  std::vector<int> added;
  for (int i = 0; i < tokens; ++i) {
    const int n = int(ids.size());
    const Rows<float> hidden = model.forward(work, ids.data(), {.batch = 1, .time = n});
    model.logits(Rows<float>(logits.data(), 1, int(logits.size())), Rows<const float>(hidden.slice(n - 1, 1)));
    added.push_back(int(std::max_element(logits.begin(), logits.end()) - logits.begin()));
    ids.push_back(added.back());
  }
  return added;
}

int check_all(const std::string& text, const fs::path& folder) {
  check_gradients();

  const Run run = train<Model>(text, folder / "one", 100);
  std::printf("loss: %.3f at the first step, %.3f over the last ten\n", run.losses.front(), mean_of_last(run.losses));
  check("the loss falls", mean_of_last(run.losses) < run.losses.front() - 2);

  const Run resumed = train<Model>(text, folder / "resumed", 100, folder / "one" / "checkpoint-50");
  check("resumed at step 50, the same bits",
        resumed.losses.size() == 50 && resumed.weights == run.weights &&
            std::equal(resumed.losses.begin(), resumed.losses.end(), run.losses.begin() + 50));

  Model model = load_model<Model>(folder / "one");
  std::vector<float> weights(model.weights().vectors.data(),
                             model.weights().vectors.data() + model.weights().vectors.size());
  weights.insert(weights.end(), model.weights().matrices.data(),
                 model.weights().matrices.data() + model.weights().matrices.size());
  check("the saved model has the weights", weights == run.weights);
  check("config.json has the fields of the layers", model.config().blocks == Model(small_model()).config().blocks);

  std::vector<int> prompt;
  for (const unsigned char byte : std::string("The model ")) prompt.push_back(byte);
  std::vector<int> completion;
  generate(model, prompt, {.max_new_tokens = 40, .do_sample = false}, [&](int token) {
    completion.push_back(token);
    return true;
  });
  std::string written;
  for (const int token : completion) written += token >= 32 && token < 127 ? char(token) : '?';
  std::printf("The model %s\n", written.c_str());
  check("the cache generates the text of whole passes", completion == complete_without_cache(model, prompt, 40));

  const Run rounded = train<RoundedModel>(text, folder / "bf16", 100);
  std::printf("loss in bf16: %.3f over the last ten steps\n", mean_of_last(rounded.losses));
  check("the loss falls in bf16", mean_of_last(rounded.losses) < rounded.losses[0] - 1.5);
  // Later steps depend on the machine: at this learning rate, rounding errors grow.
  double farthest = 0;
  for (std::size_t i = 0; i < 10; ++i) farthest = std::max(farthest, std::abs(rounded.losses[i] - run.losses[i]));
  std::printf("bf16: the losses of the first ten steps differ by %.3f at most\n", farthest);
  check("bf16 trains alike", farthest < 0.02);
  return failures;
}

#ifdef MODERNGPT2_HAVE_MPI
/// Ranks together have the losses and weights of one process.
int check_ranks(const std::string& text, const fs::path& folder, int zero_stage) {
  const distributed::MpiSession session;
  distributed::MpiCommunicator ranks(session, 60);
  const int steps = 20;
  const Run together = train<Model>(text, folder / "ranks", steps, {}, &ranks, zero_stage);
  if (ranks.rank() == 0) {
    const Run alone = train<Model>(text, folder / "alone", steps);
    double worst = 0;
    for (std::size_t i = 0; i < steps; ++i) worst = std::max(worst, std::abs(together.losses[i] - alone.losses[i]));
    std::printf("%d ranks, ZeRO stage %d: losses differ by %.1e\n", ranks.size(), zero_stage, worst);
    check("the ranks have the losses of one process", together.losses.size() == steps && worst < 1e-4);
    Model one = load_model<Model>(folder / "alone"), other = load_model<Model>(folder / "ranks");
    float most = 0;
    for (const ParameterInfo& p : one.parameters())
      for (std::int64_t i = 0; i < p.size; ++i)
        most = std::max(most, std::abs(one.weights().at(p)[i] - other.weights().at(p)[i]));
    std::printf("weights differ by %.1e\n", double(most));
    check("the ranks have the weights of one process", most < 1e-3);
  }
  ranks.barrier("the end");
  return failures;
}
#endif

}  // namespace

int main(int argc, char** argv) {
  const std::string mode = argc > 3 ? argv[1] : "";
  try {
    if (mode == "check") return check_all(read_file(argv[2]), argv[3]) == 0 ? 0 : 1;
#ifdef MODERNGPT2_HAVE_MPI
    if (mode == "ranks" && argc > 4) return check_ranks(read_file(argv[2]), argv[3], std::atoi(argv[4])) == 0 ? 0 : 1;
#endif
    std::fprintf(stderr, "usage: see main.cpp\n");
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
