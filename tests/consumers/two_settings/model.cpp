// Uses a model that main.cpp has made.
#include "model.hpp"
#include "moderngpt2/generation/generate.hpp"

std::vector<int> continue_text(Model& model) {
  return moderngpt2::generate(model, std::vector<int>{1, 2, 3}, {.max_new_tokens = 8, .do_sample = false}).tokens;
}
