// error: must return ActivationValue<float>\{value, derivative\}
#include "moderngpt2/backend/register_activation.hpp"

struct Relu {
  static constexpr const char* name = "my_relu";
  template <class T>
#ifdef CONTROL
  static moderngpt2::ActivationValue<T> at(T x) {
    return moderngpt2::activate(moderngpt2::Activation::relu, x);
  }
#else
  static T at(T x) {
    return x;
  }
#endif
};

int main() { return int(moderngpt2::register_activation<Relu>()); }
