// One rank of a job, started by mpirun:
//
//   mpi_ranks collectives   every collective, also cut in small pieces; sums that repeat bit for bit
//   mpi_ranks stopped       rank 1 stops (SIGSTOP) between two collectives
//   mpi_ranks killed        rank 1 is killed between two
//   mpi_ranks throws        rank 0 throws between two

#include <cmath>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "distributed/collective_checks.hpp"
#include "moderngpt2/cli/interrupt.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/distributed/agreement.hpp"
#include "moderngpt2/distributed/mpi.hpp"

namespace {

using namespace moderngpt2;
using namespace moderngpt2::distributed;

std::vector<float> sums(CommunicatorBase& ranks) {
  const int n = ranks.size();
  std::vector<float> x(std::size_t(n) * 10007);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = std::sin(float(i) * 3.7f + float(ranks.rank()) * 1.3f);
  ranks.reduce_scatter(x.data(), 10007, "reduce-scatter").wait();
  ranks.all_gather(x.data(), 10007, "all-gather").wait();
  return x;
}

void collectives(const MpiSession& session) {
  for (const std::int64_t largest_piece : {1 << 30, 3}) {
    MpiCommunicator ranks(session, 60, largest_piece);
    if (ranks.local_size() != ranks.size() || ranks.local_rank() != ranks.rank()) throw Error("ranks of one machine");
    if (const std::string wrong = check_collectives(ranks); !wrong.empty())
      throw Error("rank {}: {}, in pieces of {}", ranks.rank(), wrong, largest_piece);
  }
  MpiCommunicator ranks(session, 60);
  const std::vector<float> first = sums(ranks);
  for (int i = 0; i < 20; ++i)
    if (sums(ranks) != first) throw Error("rank {}: sums that do not repeat", ranks.rank());
  ranks.barrier("the end");
  if (ranks.rank() == 0) std::printf("rank 0 of %d: all is right\n", ranks.size());
}

void misfortune(CommunicatorBase& ranks, const std::string& what) {
  ranks.set_step(17);
  std::vector<float> x(std::size_t(ranks.size()) * 100'000);
  ranks.reduce_scatter(x.data(), 100'000, "reduce-scatter of bucket 3").wait();
  if (what == "stopped" && ranks.rank() == 1) std::raise(SIGSTOP);
  if (what == "killed" && ranks.rank() == 1) std::raise(SIGKILL);
  if (what == "throws" && ranks.rank() == 0) throw Error("cannot write checkpoint-17: no space left on device");
  ranks.all_gather(x.data(), 100'000, "all-gather of bucket 3").wait();
  ranks.barrier("the save");
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "collectives";
  try {
    const MpiSession session;
    if (what == "collectives") {
      collectives(session);
      return 0;
    }
    MpiCommunicator ranks(session, 2);
    catch_interrupts();
    ranks.set_stop(interrupted);
    end_job_on_error(ranks, [&] { misfortune(ranks, what); });
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
