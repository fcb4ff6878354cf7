// Runs the programs of docs/api/ in one folder, one after the other, so that each finds the files of those before it.
// They are compiled as one source file, since each of them alone would compile the library again.
//
//   api_examples [NAME...]        (default: all that do not use MPI)
#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <moderngpt2/distributed/agreement.hpp>
#include <moderngpt2/moderngpt2.hpp>
#include <moderngpt2/run/plan.hpp>
#include <moderngpt2/testing/test_layer.hpp>
#ifdef MODERNGPT2_HAVE_MPI
#include <moderngpt2/distributed/mpi.hpp>
#endif

namespace train {
#include "api/train.cpp"
}
namespace own_data {
#include "api/own_data.cpp"
}
namespace loop {
#include "api/loop.cpp"
}
namespace packed {
#include "api/packed.cpp"
}
namespace generating {
#include "api/generate.cpp"
}
namespace score {
#include "api/score.cpp"
}
namespace threads {
#include "api/threads.cpp"
}
namespace requests {
#include "api/requests.cpp"
}
namespace precision {
#include "api/precision.cpp"
}
namespace memory {
#include "api/memory.cpp"
}
namespace resume {
#include "api/resume.cpp"
}
namespace activation {
#include "api/activation.cpp"
}
#ifdef MODERNGPT2_HAVE_MPI
namespace communicator {
#include "api/communicator.cpp"
}
namespace processes {
#include "api/processes.cpp"
}
#endif

int main(int argc, char** argv) {
  struct Program {
    std::string name;
    int (*run)();
    bool by_default = true;
  };
  const Program programs[]{
      {"train", train::main},
      {"own_data", own_data::main},
      {"loop", loop::main},
      {"packed", packed::main},
      {"generate", generating::main},
      {"score", score::main},
      {"threads", threads::main},
      {"requests", requests::main},
      {"precision", precision::main},
      {"memory", memory::main},
      {"resume", resume::main},
      {"activation", activation::main},
#ifdef MODERNGPT2_HAVE_MPI
      {"communicator", communicator::main, false},
      {"processes", processes::main, false},  // MPI starts once
#endif
  };
  for (const auto& [name, run, by_default] : programs) {
    const auto is_it = [&](const char* wanted) { return name == wanted; };
    if (argc > 1 ? std::none_of(argv + 1, argv + argc, is_it) : !by_default) continue;
    std::printf("== %s\n", name.c_str());
    std::fflush(stdout);
    if (const int status = run()) return status;
  }
  return 0;
}
