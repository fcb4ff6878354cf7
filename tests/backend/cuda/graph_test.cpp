#include <cstddef>
#include <functional>
#include <vector>

#include <doctest/doctest.h>

#include "backend/cuda/simulated_kernel.hpp"
#include "moderngpt2/core/owner.hpp"

using namespace moderngpt2;
using namespace moderngpt2::cuda;

namespace {

__global__ void add_in_graph(int* to, int value) { *to += value; }
__global__ void multiply_in_graph(int* to, int value) { *to *= value; }

using OwnGraph = Owner<cudaGraph_t, cudaGraphDestroy>;
using OwnExecutable = Owner<cudaGraphExec_t, cudaGraphExecDestroy>;

template <class F>
OwnGraph graph_of(const Stream& stream, F&& queue) {
  REQUIRE(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
  queue();
  cudaGraph_t made = nullptr;
  REQUIRE(cudaStreamEndCapture(stream, &made) == cudaSuccess);
  return OwnGraph(made);
}

OwnExecutable instantiate(const OwnGraph& graph) {
  cudaGraphExec_t made = nullptr;
  REQUIRE(cudaGraphInstantiate(&made, graph.get(), 0) == cudaSuccess);
  return OwnExecutable(made);
}

int read_number(const Stream& stream, const int* from) {
  int number = 0;
  copy(stream, &number, from, 1);
  stream.synchronize();
  return number;
}

}  // namespace

TEST_CASE("captured work runs at each launch, in order and with the arguments of the last update") {
  for (const std::uint64_t seed : {0, 1, 2, 3}) {
    simt::machine().seed(seed);
    const Stream stream;
    const DeviceArray<int> data(1);
    int* const there = data.data();
    fill_bytes(stream, there, 0, sizeof(int));
    const auto add_twice = [&](int value) {
      return graph_of(stream, [&] {
        launch(stream, add_in_graph, 1, 1, 0, there, value);
        launch(stream, multiply_in_graph, 1, 1, 0, there, 2);
      });
    };
    const OwnExecutable executable = instantiate(add_twice(1));
    CHECK(read_number(stream, there) == 0);
    for (int i = 0; i < 2; ++i) CHECK(cudaGraphLaunch(executable.get(), stream) == cudaSuccess);
    // A launched graph keeps its arguments.
    cudaGraphExecUpdateResultInfo result{};
    CHECK(cudaGraphExecUpdate(executable.get(), add_twice(10).get(), &result) == cudaSuccess);
    CHECK(cudaGraphLaunch(executable.get(), stream) == cudaSuccess);
    CHECK(read_number(stream, there) == ((0 + 1) * 2 + 1) * 2 * 2 + 20);
  }
}

TEST_CASE("a graph with other nodes does not update an executable one") {
  simt::machine().seed(1);
  const Stream stream;
  const DeviceArray<int> data(8);
  int* const there = data.data();
  const auto add = [&] { launch(stream, add_in_graph, 1, 1, 0, there, 1); };
  const auto copy_rows = [&](std::size_t rows) {
    check(cudaMemcpy2DAsync(there, 8, there + 4, 8, 4, rows, cudaMemcpyDeviceToDevice, stream), "cudaMemcpy2DAsync");
  };
  const auto is_updated = [&](const auto& from, const auto& to) {
    const OwnExecutable executable = instantiate(graph_of(stream, from));
    cudaGraphExecUpdateResultInfo result{};
    return cudaGraphExecUpdate(executable.get(), graph_of(stream, to).get(), &result) == cudaSuccess;
  };
  CHECK(is_updated(add, add));
  CHECK_FALSE(is_updated(add, [&] { add(), add(); }));
  CHECK_FALSE(is_updated(add, [&] { launch(stream, multiply_in_graph, 1, 1, 0, there, 1); }));
  CHECK_FALSE(is_updated(add, [&] { fill_bytes(stream, there, 0, 4); }));
  CHECK(is_updated([&] { copy_rows(2); }, [&] { copy_rows(2); }));
  CHECK_FALSE(is_updated([&] { copy_rows(2); }, [&] { copy_rows(1); }));
}

TEST_CASE("calls that wait for the GPU or change its memory invalidate a capture, and the stream stays usable") {
  simt::machine().seed(1);
  const Stream stream;
  const DeviceArray<int> data(1);
  int* const there = data.data();
  fill_bytes(stream, there, 0, sizeof(int));
  cudaEvent_t plain = nullptr;
  REQUIRE(cudaEventCreateWithFlags(&plain, cudaEventDisableTiming) == cudaSuccess);
  REQUIRE(cudaEventRecord(plain, stream) == cudaSuccess);
  void* memory = nullptr;
  REQUIRE(cudaMalloc(&memory, 8) == cudaSuccess);
  void* pinned = nullptr;
  const std::vector<std::function<cudaError_t()>> calls{[&] { return cudaStreamSynchronize(stream); },
                                                        [&] { return cudaStreamSynchronize(nullptr); },
                                                        [&] { return cudaDeviceSynchronize(); },
                                                        [&] { return cudaEventSynchronize(plain); },
                                                        [&] { return cudaEventQuery(plain); },
                                                        [&] { return cudaMalloc(&pinned, 8); },
                                                        [&] { return cudaFree(memory); },
                                                        [&] { return cudaMallocHost(&pinned, 8); }};
  for (std::size_t i = 0; i < calls.size(); ++i) {
    CAPTURE(i);
    REQUIRE(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
    CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaErrorIllegalState);
    CHECK(calls[i]() == cudaErrorStreamCaptureUnsupported);
    CHECK(cudaMemsetAsync(there, 1, 4, stream) == cudaErrorStreamCaptureInvalidated);
    cudaGraph_t graph = nullptr;
    CHECK(cudaStreamEndCapture(stream, &graph) == cudaErrorStreamCaptureInvalidated);
    CHECK(graph == nullptr);
    CHECK(cudaStreamEndCapture(stream, &graph) == cudaErrorIllegalState);
    CHECK(read_number(stream, there) == 0);
  }
  CHECK(cudaFree(memory) == cudaSuccess);

  REQUIRE(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
  CHECK(test::contains(test::fault_of([&] { cudaEventRecord(plain, stream); }), "without events or NCCL"));
  CHECK(test::contains(test::fault_of([&] { cudaStreamWaitEvent(stream, plain); }), "without events or NCCL"));
  cudaGraph_t graph = nullptr;
  CHECK(cudaStreamEndCapture(stream, &graph) == cudaSuccess);
  CHECK(cudaGraphDestroy(graph) == cudaSuccess);
  CHECK(cudaEventDestroy(plain) == cudaSuccess);
}
