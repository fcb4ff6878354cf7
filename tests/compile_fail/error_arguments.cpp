// error: (consteval|constant expression)
#include "moderngpt2/core/error.hpp"

int main() {
#ifdef CONTROL
  moderngpt2::Error error("{} and {}", 1, 2);
#else
  moderngpt2::Error error("{} and {}", 1);
#endif
  return error.what()[0];
}
