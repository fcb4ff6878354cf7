// error: KvHeadsDivideHeads
#include "moderngpt2/model/heads.hpp"

#ifdef CONTROL
constexpr moderngpt2::ModelShape shape{.n_head = 6, .n_kv_head = 2};
#else
constexpr moderngpt2::ModelShape shape{.n_head = 6, .n_kv_head = 4};
#endif

int main() {
  moderngpt2::Config config;
  return moderngpt2::CausalLM<shape>::parameter_count(config) > 0 ? 0 : 1;
}
