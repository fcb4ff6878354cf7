// error: KvHeadsDivideHeads
#include "moderngpt2/layers/attention.hpp"

#ifdef CONTROL
constexpr int kv_heads = 3;
#else
constexpr int kv_heads = 4;
#endif

int main() {
  moderngpt2::Config config;
  config.n_head = 6, config.n_kv_head = kv_heads;
  moderngpt2::GroupedQueryAttention<768, 6, kv_heads, 64> attention(config);
  return attention.kv_width() > 0 ? 0 : 1;
}
