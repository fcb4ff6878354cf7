// Compiles all code for NCCL against its header, and loads the library if it is installed.

#include <cstdio>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/distributed/nccl.hpp"
#include "moderngpt2/distributed/torch_launch.hpp"

using namespace moderngpt2;
using namespace moderngpt2::distributed;

template class moderngpt2::distributed::NcclCommunicator<NcclLibrary>;
template NcclLibrary::Id moderngpt2::distributed::shared_nccl_id(NcclLibrary&, const TorchLaunch&, double);

int main() {
  try {
    const NcclLibrary library;
    std::puts("NCCL is loaded");
  } catch (const Error& error) {
    std::puts(error.what());
  }
  return 0;
}
