#include "check_model.hpp"

using namespace moderngpt2;
using namespace moderngpt2::test;

TEST_CASE("sequence classifier: gradients") {
  for (bool training : {false, true}) check_model<Sequence>(tiny_config(), training);
}

TEST_CASE("token classifier: gradients") {
  for (bool training : {false, true}) check_model<Token>(tiny_config(), training);
}

TEST_CASE("question answerer: gradients") {
  for (bool training : {false, true}) check_model<Question>(tiny_config(), training);
}
