#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include <moderngpt2/distributed/mpi.hpp>
#include <moderngpt2/moderngpt2.hpp>

using namespace moderngpt2;

int main() {
  const distributed::MpiSession session;  // initializes and finalizes MPI; an exception in its scope ends the job
  distributed::MpiCommunicator ranks(session);
  Config config = size_config(1, 64, 2, 64);
  config.n_positions = 32;
  CausalLM<any_shape> model(config, cpu::Backend(), distributed::buffer_granule(ranks.size()));

  std::vector<int> ids(32 * 200);
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = int(i * i % 64);
  const TrainAndEval data = hold_out(std::make_shared<MemoryBlocks>(ids, 32), 4);  // equal on every rank
  TrainingSettings settings{.output_dir = "my_ranks", .max_steps = 20, .per_device_train_batch_size = 4};
  settings.world_size = ranks.size(), settings.zero_stage = 3;  // 0: shard nothing .. 3: weights too
  settings.logging_steps = 10;
  TrainingHooks hooks;
  if (ranks.rank() == 0) hooks.say = [](const std::string& line) { std::puts(line.c_str()); };
  Trainer trainer(model, data, {}, settings, hooks, &ranks);
  trainer.initialize(42);
  trainer.run();  // rank 0 writes the files
  return 0;
}
