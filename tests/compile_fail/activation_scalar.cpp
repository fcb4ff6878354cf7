// error: must be a template on the scalar T
#include "moderngpt2/backend/register_activation.hpp"

struct Relu {
  static constexpr const char* name = "my_relu";
#ifdef CONTROL
  template <class T>
#else
  using T = float;
#endif
  static moderngpt2::ActivationValue<T> at(T x) {
    return moderngpt2::activate(moderngpt2::Activation::relu, x);
  }
};

int main() { return int(moderngpt2::register_activation<Relu>()); }
