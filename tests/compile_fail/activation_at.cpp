// error: lacks the member `at`
#include "moderngpt2/backend/register_activation.hpp"

struct Relu {
  static constexpr const char* name = "my_relu";
#ifdef CONTROL
  template <class T>
  static moderngpt2::ActivationValue<T> at(T x) {
    return moderngpt2::activate(moderngpt2::Activation::relu, x);
  }
#else
  template <class T>
  static moderngpt2::ActivationValue<T> value(T x) {
    return moderngpt2::activate(moderngpt2::Activation::relu, x);
  }
#endif
};

int main() { return int(moderngpt2::register_activation<Relu>()); }
