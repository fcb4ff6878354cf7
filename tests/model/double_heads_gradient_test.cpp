#include "check_model.hpp"

using namespace moderngpt2;
using namespace moderngpt2::test;

TEST_CASE("double heads model: gradients") {
  Config c = tiny_config();
  c.summary_activation = Activation::tanh;
  for (bool training : {false, true}) check_model<DoubleHead>(c, training);
}
