// trainer_state.json: an accepted state must be equal after writing and reading. The second part of the input is
// metrics.jsonl, to which a resumed run appends.
#include "json_mutator.hpp"
#include "moderngpt2/training/metrics.hpp"
#include "moderngpt2/training/state.hpp"

using namespace moderngpt2;

void fuzz::seed(Seeds& seeds) {
  TrainerState state;
  state.step = 3, state.max_steps = 10, state.blocks = 20, state.block_size = 8, state.position = {1, 4};
  state.log_history.push_back(Json{{"step", 2}, {"loss", 1.5}, {"eval_loss", 2.0}});
  state.run_name = "run";
  state.loss_scale = {1024.0, 3, 1};
  state.files.push_back({"model.safetensors", 100, "0123456789abcdef"});
  seeds.add(join({json_text(to_json(state, TrainingSettings()), "seed"), "{\"step\": 1, \"loss\": 2}\n{\"step\": 3"}));
  seeds.words({"log_history", "eval_loss", "run_name", "loss_scale", "samples_in_epoch", "../", "checkpoint-1",
               "9223372036854775807", "optimizer_updates", "optimizer.safetensors", separator});
}

void fuzz::run(std::string_view input) {
  const auto parts = split(input, 2);
  const TrainerState state = parse_trainer_state(parse_json(parts[0], "fuzz.json"), "fuzz.json");
  const Json written = to_json(state, TrainingSettings());
  const auto again = accepted([&] { return parse_trainer_state(written, "written.json"); });
  if (!again || to_json(*again, TrainingSettings()) != written) fail("another state after writing and reading");
  MetricsFile metrics(file("metrics.jsonl", parts[1]), state.step, state.log_history);
  metrics.add(Json{{"step", 1}});
}
