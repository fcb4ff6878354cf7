#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "distributed/collective_checks.hpp"
#include "distributed/nccl_stand_in.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/distributed/nccl_communicator.hpp"
#include "moderngpt2/testing/thread_ranks.hpp"

using namespace moderngpt2;
using namespace moderngpt2::distributed;

namespace {

using StandInCommunicator = NcclCommunicator<NcclStandIn>;
static_assert(Communicator<StandInCommunicator>);

/// Runs f(communicator, stand-in, compute stream) on `size` threads; `plan` is that of rank 0, the others' is plain.
/// Returns what each rank threw.
template <class F>
std::vector<std::string> run_gpus(int size, const NcclStandIn::Plan& plan, double timeout, F&& f) {
  std::vector<std::unique_ptr<ThreadHub>> hubs;
  return run_thread_ranks(size, {}, [&](ThreadCommunicator& host) {
    NcclStandIn api(hubs, size, host.rank() == 0 ? plan : NcclStandIn::Plan{});
    NcclStandIn::StreamQueue compute;
    const auto id = shared_nccl_id(api, host);
    try {
      StandInCommunicator gpus(api, place_of(host), id, &compute, timeout,
                               [&](const std::string& why, int status) { host.abort(why, status); });
      f(gpus, api, compute);
      host.barrier("the end of the GPUs");
    } catch (...) {
      if (api.live != 0) throw Error("rank {}: {} things were not destroyed", host.rank(), api.live);
      throw;
    }
    if (api.live != 0 || api.aborted != 0) throw Error("{} things were not destroyed", api.live);
  });
}

TEST_CASE("NCCL: every collective at 1 to 4 ranks") {
  for (int size : {1, 2, 3, 4})
    for (const std::string& thrown :
         run_gpus(size, {}, 60, [size](StandInCommunicator&gpus, NcclStandIn&, NcclStandIn::StreamQueue&) {
           if (const std::string wrong = check_collectives(gpus); !wrong.empty()) throw Error(wrong);
           if (gpus.local_size() != size || gpus.local_rank() != gpus.rank()) throw Error("wrong place");
         }))
      CHECK(thrown == "");
}

TEST_CASE("NCCL: a collective waits for what the compute stream does before it") {
  for (const std::string& thrown :
       run_gpus(2, {}, 60, [](StandInCommunicator&gpus, NcclStandIn&, NcclStandIn::StreamQueue&compute) {
         float x = 100;
         for (int step = 0; step < 3; ++step) {
           compute.work.push_back([&] {
             x = float(gpus.rank() + 1);
             return true;
           });
           gpus.all_reduce(&x, 1, ReduceOp::sum, "sum").wait();
           if (x != 3) throw Error("the sum is {}", x);
         }
       }))
    CHECK(thrown == "");
}

TEST_CASE("NCCL: an error that it reports later ends the job with its text") {
  NcclStandIn::Plan plan;
  plan.fails_at = 1;
  const auto thrown = run_gpus(2, plan, 1, [](StandInCommunicator& gpus, NcclStandIn& api, NcclStandIn::StreamQueue&) {
    gpus.set_step(17);
    float x[2] = {};
    gpus.all_gather(x, 1, "all-gather of bucket 2").wait();
    if (gpus.rank() == 1) throw Error("not the first");
    try {
      gpus.all_gather(x, 1, "all-gather of bucket 3").wait();
    } catch (const Error& error) {
      if (api.aborted != 1) throw Error("NCCL goes on");
      throw Error("{}; again: {}", error.what(), [&] {
        try {
          gpus.barrier("the save");
        } catch (const Error& later) {
          return std::string(later.what());
        }
        return std::string();
      }());
    }
  });
  CHECK(thrown[0] ==
        "all-gather of bucket 3 in step 17 failed: NCCL says unhandled system error; again: the save in step 17: NCCL "
        "has "
        "failed before");
}

TEST_CASE("NCCL: a call that is refused names the collective") {
  NcclStandIn::Plan plan;
  plan.refuses_call = 0;
  const auto thrown = run_gpus(2, plan, 60, [](StandInCommunicator& gpus, NcclStandIn&, NcclStandIn::StreamQueue&) {
    double x[2] = {};
    if (gpus.rank() == 0) gpus.reduce_scatter(x, 1, "reduce-scatter of bucket 0").wait();
  });
  CHECK(thrown[0] == "reduce-scatter of bucket 0 failed: NCCL says invalid argument");
}

TEST_CASE("NCCL: the watchdog ends a job whose rank stalls") {
  const auto thrown = run_gpus(3, {}, 0.3, [](StandInCommunicator& gpus, NcclStandIn&, NcclStandIn::StreamQueue&) {
    gpus.set_step(17);
    float x[3] = {};
    if (gpus.rank() != 1) gpus.all_gather(x, 1, "all-gather of bucket 3").wait();
  });
  int said = 0;
  for (std::size_t r : {0, 2})
    said += thrown[r] ==
            "all-gather of bucket 3 in step 17 has not finished within 0.3 s: the GPU of another rank has not "
            "come to it; look at a rank that does not say this";
  CHECK(said >= 1);  // the other may hear of it first
  CHECK(thrown[1].find("ends the job: all-gather of bucket 3 in step 17 has not finished") != std::string::npos);
}

TEST_CASE("NCCL: the watchdog sees a start that does not end") {
  NcclStandIn::Plan plan;
  plan.polls_of_init = -1;
  const auto thrown = run_gpus(2, plan, 0.1, [](StandInCommunicator&, NcclStandIn&, NcclStandIn::StreamQueue&) {});
  CHECK(thrown[0] == "the start of NCCL has not finished within 0.1 s: another rank has not come to it");
}

}  // namespace
