// error: RotaryNeedsEvenHeadDim
#include "moderngpt2/layers/attention.hpp"

#ifdef CONTROL
constexpr int head_dim = 64;
#else
constexpr int head_dim = 63;
#endif

int main() {
  moderngpt2::Config config;
  config.head_dim = head_dim;
  moderngpt2::GroupedQueryAttention<768, 12, 12, head_dim> attention(config);
  return attention.q_width() > 0 ? 0 : 1;
}
