#include <cstdio>
#include <vector>

#include <moderngpt2/distributed/agreement.hpp>
#include <moderngpt2/distributed/mpi.hpp>

using namespace moderngpt2;

int main() {
  const distributed::MpiSession session;              // MPI_Init_thread .. MPI_Finalize
  distributed::MpiCommunicator ranks(session, 1800);  // time-out of a collective in seconds
  const int each = 3;                                 // elements of a rank's slice
  std::vector<float> sums(std::size_t(each * ranks.size()), float(ranks.rank() + 1));
  distributed::end_job_on_error(ranks, [&] {  // an exception on one rank ends all of them
    ranks.set_step(17);                       // in messages and traces
    distributed::Request request = ranks.reduce_scatter(sums.data(), each, "reduce-scatter of an example");
    // ... compute something else ...
    request.wait();  // slice ranks.rank() now holds the sums
  });
  std::printf("rank %d of %d: %g\n", ranks.rank(), ranks.size(), double(sums[std::size_t(each * ranks.rank())]));
  return 0;
}
