// error: lacks the member `name`
#include "moderngpt2/layers/gated_mlp.hpp"

struct Relu {
#ifdef CONTROL
  static constexpr const char* name = "my_relu";
#endif
  template <class T>
  static moderngpt2::ActivationValue<T> at(T x) {
    return moderngpt2::activate(moderngpt2::Activation::relu, x);
  }
};

int main() {
  moderngpt2::GatedMlp<8, 16, Relu{}> mlp{moderngpt2::Config()};
  return mlp.n_inner;
}
