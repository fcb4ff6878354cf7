// error: must be an empty struct
#include "moderngpt2/backend/register_activation.hpp"

struct Relu {
  static constexpr const char* name = "my_relu";
#ifndef CONTROL
  float slope = 0.1f;
#endif
  template <class T>
  static moderngpt2::ActivationValue<T> at(T x) {
    return moderngpt2::activate(moderngpt2::Activation::relu, x);
  }
};

int main() { return int(moderngpt2::register_activation<Relu>()); }
