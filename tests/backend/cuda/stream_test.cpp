#include <vector>

#include <doctest/doctest.h>

#include "backend/cuda/simulated_kernel.hpp"
#include "moderngpt2/backend/cuda/backend.hpp"

using namespace moderngpt2;
using namespace moderngpt2::cuda;

namespace {

__global__ void add_to_all(int* data, int n, int value) {
  const int i = int(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) data[i] += value;
}
__global__ void double_all(int* data, int n) {
  const int i = int(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) data[i] *= 2;
}
__global__ void write_one(int* data, std::int64_t at) { data[at] = 1; }

constexpr int n = 100;

std::vector<int> download(const Stream& stream, const DeviceArray<int>& data) {
  std::vector<int> host(std::size_t(data.size()));
  copy(stream, host.data(), static_cast<const int*>(data.data()), data.size());
  stream.synchronize();
  return host;
}

}  // namespace

TEST_CASE("work of a stream runs in order") {
  for (const std::uint64_t seed : {0, 1, 2, 3}) {
    simt::machine().seed(seed);
    const Stream stream;
    const DeviceArray<int> data(n);
    fill_bytes(stream, data.data(), 0, n * sizeof(int));
    for (int turn = 0; turn < 5; ++turn) {
      launch(stream, add_to_all, 4, 32, 0, data.data(), n, 3);
      launch(stream, double_all, 4, 32, 0, data.data(), n);
    }
    for (const int x : download(stream, data)) CHECK(x == 186);
  }
}

TEST_CASE("events order streams") {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    simt::machine().seed(seed);
    const Stream first, second;
    Event ready, used;
    const DeviceArray<int> data(n);
    fill_bytes(first, data.data(), 0, n * sizeof(int));
    for (int turn = 0; turn < 3; ++turn) {
      launch(first, add_to_all, 4, 32, 0, data.data(), n, 1);
      ready.record(first);
      ready.wait(second);
      launch(second, double_all, 4, 32, 0, data.data(), n);
      used.record(second);
      used.wait(first);
    }
    for (const int x : download(first, data)) CHECK(x == 14);
  }
}

TEST_CASE("without an event, the order of streams varies") {
  std::vector<int> seen;
  for (std::uint64_t seed = 1; seed <= 20 && !simt::has_tsan; ++seed) {
    simt::machine().seed(seed);
    const Stream first, second;
    const DeviceArray<int> data(1);
    fill_bytes(first, data.data(), 0, sizeof(int));
    first.synchronize();
    launch(first, add_to_all, 1, 32, 0, data.data(), 1, 1);
    launch(second, double_all, 1, 32, 0, data.data(), 1);
    first.synchronize();
    second.synchronize();
    seen.push_back(download(first, data)[0]);
  }
  if (!simt::has_tsan) CHECK(std::count(seen.begin(), seen.end(), 1) * std::count(seen.begin(), seen.end(), 2) > 0);
}

TEST_CASE("copies run in stream order") {
  simt::machine().seed(0);
  const Stream stream;
  const DeviceArray<int> data(1);
  int host = 5, back = -1;
  copy(stream, data.data(), &host, 1);
  copy(stream, &back, static_cast<const int*>(data.data()), 1);
  CHECK(back == -1);
  stream.synchronize();
  CHECK(back == 5);
}

TEST_CASE("time between events") {
  const Stream stream;
  Event begin(true), end(true);
  begin.record(stream);
  end.record(stream);
  end.synchronize();
  CHECK(end.since(begin) >= 0);
}

TEST_CASE("out of GPU memory: the Error has the sizes") {
  simt::device().memory_bytes = 1 << 20;
  const DeviceMemory some(1 << 19);
  std::string text;
  try {
    const DeviceMemory more((1 << 19) + 1);
  } catch (const Error& e) {
    text = e.what();
  }
  simt::device().memory_bytes = std::size_t(8) << 30;
  CHECK(test::contains(text, "of GPU memory ("));
  CHECK(test::contains(text, "use a smaller batch"));
}

TEST_CASE("out of pinned memory: the Error names host memory") {
  simt::device().max_pinned_bytes = 1 << 20;
  std::string text;
  try {
    const PinnedArray<float> more(1 << 20);
  } catch (const Error& e) {
    text = e.what();
  }
  simt::device().max_pinned_bytes = std::size_t(-1);
  CHECK(test::contains(text, "cannot allocate 4.0 MiB of pinned host memory"));
  CHECK(test::contains(text, "--mem of Slurm"));
  CHECK_FALSE(test::contains(text, "batch"));
}

TEST_CASE("errors of CUDA say what to do") {
  const auto text_of = [](cudaError_t status) {
    try {
      check(status, "cudaSetDevice");
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string("no error");
  };
  CHECK(text_of(cudaSuccess) == "no error");
  const struct {
    cudaError_t status;
    const char* said;
  } table[] = {{cudaErrorInsufficientDriver, "install a later driver"},
               {cudaErrorNoDevice, "CUDA_VISIBLE_DEVICES"},
               {cudaErrorInvalidDevice, "nvidia-smi lists the GPUs"},
               {cudaErrorStubLibrary, "lib64/stubs"},
               {cudaErrorSystemDriverMismatch, "reboot"},
               {cudaErrorCompatNotSupportedOnDevice, "cuda/compat"},
               {cudaErrorSystemNotReady, "nvidia-fabricmanager"},
               {cudaErrorInitializationError, "container has a GPU"},
               {cudaErrorDevicesUnavailable, "compute mode"},
               {cudaErrorMpsConnectionFailed, "nvidia-cuda-mps-control"},
               {cudaErrorMpsServerNotReady, "nvidia-cuda-mps-control"},
               {cudaErrorECCUncorrectable, "Xid"},
               {cudaErrorMemoryAllocation, "a higher ZeRO stage"},
               {cudaErrorNoKernelImageForDevice, "MODERNGPT2_CUDA_ARCHITECTURES"},
               {cudaErrorUnsupportedPtxVersion, "a later driver"},
               {cudaErrorIllegalAddress, "compute-sanitizer"},
               {cudaErrorMisalignedAddress, "compute-sanitizer"},
               {cudaErrorLaunchFailure, "compute-sanitizer"},
               {cudaErrorInvalidValue, "please report it"}};
  for (const auto& row : table) {
    CAPTURE(row.status);
    CHECK(test::contains(text_of(row.status), row.said));
    CHECK(test::contains(text_of(row.status), "cudaSetDevice failed"));
  }
}

TEST_CASE("the GPU of a process: by local rank, or the only visible one") {
  CHECK(Backend::device_of(0) == 0);
  CHECK(Backend::device_of(3) == 0);
  simt::device().visible_gpus = 2;
  CHECK(Backend::device_of(1) == 1);
  CHECK_THROWS_WITH_AS((void)Backend::device_of(2), doctest::Contains("start one process per GPU"), Error);
  simt::device().visible_gpus = 1;
}

TEST_CASE("errors of the driver API say what to do") {
  CHECK_THROWS_WITH_AS(Driver::check(CUDA_ERROR_OUT_OF_MEMORY, "cuMemMap"), doctest::Contains("a smaller batch"),
                       Error);
}

TEST_CASE("GPU memory is freed") {
  const std::size_t before = simt::device().used();
  {
    DeviceMemory a(1000), b(std::move(a));
    a = DeviceMemory(50);
    CHECK(simt::device().used() == before + 1050);
  }
  CHECK(simt::device().used() == before);
}

TEST_CASE("writes outside of an allocation are detected") {
  if (simt::has_asan || simt::has_tsan) return;  // sanitizers report the access itself
  for (const std::int64_t at : {std::int64_t(-1), std::int64_t(n), std::int64_t(n + 20)}) {
    const Stream stream;
    std::string text = test::fault_of([&] {
      const DeviceArray<int> data(n);
      launch(stream, write_one, 1, 1, 0, data.data(), at);
      stream.synchronize();
    });
    CHECK(test::contains(text, at < 0 ? "bytes before an allocation of 400" : "after the end of an allocation of 400"));
  }
}

TEST_CASE("properties of the GPU, and unsupported GPUs") {
  Backend b;
  CHECK(b.compute_capability() == 90);
  CHECK(b.shared_bytes() == 227 * 1024);
  float* const small = b.scratch<float>(10);
  CHECK(b.scratch<float>(5) == small);
  CHECK(b.scratch_bytes() == 40);
  CHECK(b.scratch<float>(1000) != nullptr);
  CHECK(b.scratch_bytes() == 4000);
  CHECK_THROWS_WITH_AS(Backend(1), doctest::Contains("nvidia-smi lists the GPUs"), Error);
  simt::device().compute_major = 7, simt::device().compute_minor = 5;
  CHECK_THROWS_WITH_AS(Backend(), doctest::Contains("7.5, expected 8.0 (Ampere) or later"), Error);
  simt::device().compute_major = 9, simt::device().compute_minor = 0;
}
