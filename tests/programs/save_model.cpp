/// Saves a new model with a tokenizer, as a program of a user does: save_model FOLDER_OF_TOKENIZER OUTPUT_FOLDER

#include <cstdio>

#include "moderngpt2/config/presets.hpp"
#include "moderngpt2/io/model_folder.hpp"
#include "moderngpt2/model/heads.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"

int main(int argc, char** argv) try {
  using namespace moderngpt2;
  if (argc != 3) return 2;
  const Tokenizer tokenizer = Tokenizer::load(argv[1]);
  Config config = size_config(/*n_layer=*/1, /*n_embd=*/32, /*n_head=*/2, tokenizer.vocab_size());
  config.n_positions = 64;
  config.eos_token_id = tokenizer.eos_id();
  CausalLM<any_shape> model(config);
  model.initialize(1);
  save_model(argv[2], model, tokenizer);
  return 0;
} catch (const moderngpt2::Error& error) {
  std::fprintf(stderr, "save_model: %s\n", error.what());
  return 1;
}
