// Two source files in one: the second, with -DMAIN, calls the first with an object of a type that flags change.
#include "moderngpt2/backend/cpu/backend.hpp"

int threads_of(moderngpt2::cpu::Backend& backend);

#ifdef MAIN
int main() {
  moderngpt2::cpu::Backend backend(1);
  return threads_of(backend) == 1 ? 0 : 1;
}
#else
int threads_of(moderngpt2::cpu::Backend& backend) { return backend.threads(); }
#endif
