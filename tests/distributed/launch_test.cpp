#include <string>

#include <doctest/doctest.h>

#include "distributed/with_variable.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/distributed/agreement.hpp"
#include "moderngpt2/distributed/collective.hpp"
#include "moderngpt2/distributed/communicator.hpp"
#include "moderngpt2/distributed/launch.hpp"
#include "moderngpt2/testing/thread_ranks.hpp"

using namespace moderngpt2;
using namespace moderngpt2::distributed;

namespace {

TEST_CASE("a single-process program started as one of several is an error") {
  CHECK_NOTHROW(require_single_process("was built without MPI"));
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS", "WORLD_SIZE"}) {
    {
      const WithVariable one(name, "1");
      CHECK_NOTHROW(require_single_process("was built without MPI"));
    }
    const WithVariable four(name, "4");
    const std::string message = std::string("a launcher has started 4 processes (") + name +
                                "=4), but this program was built without MPI: start it once, without mpirun, srun or "
                                "torchrun";
    CHECK_THROWS_WITH_AS(require_single_process("was built without MPI"), message.c_str(), UsageError);
  }
  const WithVariable batch("SLURM_NTASKS", "4");  // in a job script, whose commands run once
  CHECK_NOTHROW(require_single_process("was built without MPI"));
}

TEST_CASE("environment_number accepts integers only") {
  CHECK_FALSE(environment_number("MODERNGPT2_NO_SUCH_VARIABLE"));
  for (const char* text : {"", "four", "4x", "99999999999"}) {
    const WithVariable bad("MODERNGPT2_TEST_NUMBER", text);
    CHECK_FALSE(environment_number("MODERNGPT2_TEST_NUMBER"));
  }
  const WithVariable good("MODERNGPT2_TEST_NUMBER", "17");
  CHECK(environment_number("MODERNGPT2_TEST_NUMBER") == 17);
}

RankPosition position(std::int64_t number, const char* what) {
  Collective c;
  c.step = 17;
  c.name(what);
  return RankPosition::at(number, c);
}

TEST_CASE("a stall report names ranks that do not answer, are behind or ahead") {
  StallReport report(4, 2, position(40, "all-gather of bucket 3"));
  CHECK_FALSE(report.is_complete());
  report.of(0) = position(40, "all-gather of bucket 3");
  report.of(3) = position(39, "reduce-scatter of bucket 0");
  CHECK(report.text() ==
        "rank 1 does not answer (it is stopped, or busy with something else), rank 3 waits for "
        "reduce-scatter of bucket 0 in step 17, before it");
  report.of(1) = position(41, "the save");
  CHECK(report.is_complete());
  CHECK(report.text() ==
        "rank 1 waits for the save in step 17, after it, rank 3 waits for reduce-scatter of bucket 0 in step 17, "
        "before it");
  report.of(1).step = -1;  // before the first step
  report.of(3) = report.own();
  CHECK(report.text() == "rank 1 waits for the save, after it");
  report.of(1) = report.own();
  CHECK(report.text() == "all ranks wait for it (is the network slow or broken?)");
}

TEST_CASE("an error on one rank ends the job for all, once") {
  const auto thrown = run_thread_ranks(3, {}, [](ThreadCommunicator& ranks) {
    end_job_on_error(ranks, [&] {
      if (ranks.rank() == 1) throw Error("no space left on device");
      ranks.barrier("the save");
    });
  });
  CHECK(thrown[0] == "rank 0: rank 1 ends the job: no space left on device");
  CHECK(thrown[1] == "no space left on device");
  CHECK(thrown[2] == "rank 2: rank 1 ends the job: no space left on device");
  SingleCommunicator one;
  CHECK(end_job_on_error(one, [] { return 5; }) == 5);
  CHECK_THROWS_AS(end_job_on_error(one, []() -> int { throw UsageError("a flag"); }), UsageError);
}

}  // namespace
