// Example of a project that uses the library: prints the shape that CMake read from config.json.
#include <cstdio>

#include "moderngpt2/models/tiny.hpp"
#include "moderngpt2/moderngpt2.hpp"

using moderngpt2::models::tiny;

static_assert(tiny.n_layer == 3 && tiny.n_embd == 48 && tiny.n_head == 6 && tiny.n_kv_head == 2);
static_assert(tiny.head_dim == 8 && tiny.n_inner == 96 && tiny.activation == moderngpt2::Activation::silu);
static_assert(tiny.attention_bias == moderngpt2::Toggle::on && tiny.tied_head == moderngpt2::Toggle::off);

int main() {
  try {
    throw moderngpt2::Error("a model of {} layers", tiny.n_layer);
  } catch (const moderngpt2::Error& error) {
    std::puts(error.what());
  }
}
