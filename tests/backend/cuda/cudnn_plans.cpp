// Builds cuDNN's attention plans for GPUs that are not present: graphs are valid, kernels compile, and scratch is
// within the planned size. Their results are tested on a GPU (cudnn_calls_test.cpp).
//
//   cudnn_plans      with cudnn_driver.cpp in place of NVIDIA's driver

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/backend/cuda/cudnn_attention.hpp"

using namespace moderngpt2;

namespace {

struct Gpu {
  int compute_capability, multiprocessors, shared_bytes;
};

/// Properties of a GPU, serialized as cuDNN does.
cuda::detail::CudnnDevice device_of(const Gpu& gpu) {
  const std::string text = fmt::format(
      R"({{"deviceVer":{},"driverVer":13000,"cudaDeviceId":0,"totalGlobalMem":85899345920,"deviceName":"NVIDIA",
"maxGridSize":[2147483647,65535,65535],"maxBlockSize":[1024,1024,64],"regsPerBlock":65536,"multiProcessorCount":{},
"warpSize":32,"maxSharedMemoryPerBlock":49152,"maxSharedMemoryPerBlockOptin":{},"reservedSharedMemoryPerBlock":1024,
"maxRegistersPerSM":65536,"maxCtasPerSM":32,"maxThreadsPerBlock":1024,"maxThreadsPerSM":2048,"pciDeviceId":0,
"isTccDriver":0,"supportCoopLaunch":1,"smClockRateKHz":1755000,"memClockRateKHz":2619000,"l2CacheSize":52428800}})",
      10 * gpu.compute_capability, gpu.multiprocessors, gpu.shared_bytes);
  const auto properties = std::make_shared<cudnn_frontend::DeviceProperties>();
  cuda::detail::check(properties->deserialize({text.begin(), text.end()}), "does not know the GPU");
  return {properties, gpu.compute_capability};
}

struct Case {
  int time, n_head, n_kv_head, head_dim;
  Dtype dtype = Dtype::bf16;
};

cuda::CudnnShape shape_of(const Case& c, bool backward) {
  const int o = c.n_head * c.head_dim, qkv = o + 2 * c.n_kv_head * c.head_dim;
  return {.dtype = c.dtype,
          .backward = backward,
          .batch = 3,
          .time = c.time,
          .n_head = c.n_head,
          .n_kv_head = c.n_kv_head,
          .head_dim = c.head_dim,
          .q = qkv,
          .k = qkv,
          .v = qkv,
          .o = o,
          .d_o = o,
          .dq = qkv,
          .dk = qkv,
          .dv = qkv};
}

void check_plans(const Gpu& gpu, const std::vector<Case>& table) {
  const cuda::detail::CudnnDevice device = device_of(gpu);
  for (const Case& c : table) {
    const AttentionCall call{.batch = 3,
                             .time = c.time,
                             .key_rows = c.time,
                             .n_head = c.n_head,
                             .n_kv_head = c.n_kv_head,
                             .head_dim = c.head_dim,
                             .dropout = {}};
    if (!cuda::cudnn_takes(call, c.dtype)) throw Error("head_dim {} is not for cuDNN", c.head_dim);
    for (const bool backward : {false, true}) {
      fmt::print("sm_{}: T {}, {} heads, {} of keys, of {} channels, {}\n", gpu.compute_capability, c.time, c.n_head,
                 c.n_kv_head, c.head_dim, backward ? "backward" : "forward");
      std::fflush(stdout);
      const cuda::detail::CudnnPlan plan(shape_of(c, backward), device);
      const std::int64_t wanted = plan.workspace_bytes(), planned = cuda::cudnn_workspace_bytes(call);
      fmt::print("  {} bytes of scratch, {} are planned\n", wanted, planned);
      if (wanted > planned) throw Error("more scratch than is planned");
    }
  }
}

/// cuDNN refuses rows that are not multiples of 16 bytes; the error message is one line.
void check_refusal(const Gpu& gpu) {
  cuda::CudnnShape shape = shape_of({128, 2, 2, 64}, false);
  shape.q += 1;
  try {
    const cuda::detail::CudnnPlan plan(shape, device_of(gpu));
  } catch (const Error& e) {
    const std::string_view what = e.what();
    fmt::print("{}\n", what);
    if (what.starts_with("cuDNN has no plan for this attention: ") && what.find('\n') == what.npos) return;
  }
  throw Error("a plan for rows that are not aligned, or another error");
}

}  // namespace

int main() try {
  const Gpu h200{90, 132, 232448}, a100{80, 108, 166912};
  check_plans(h200, {{1024, 12, 12, 64},
                     {1000, 12, 3, 64},
                     {2048, 8, 8, 128},
                     {65, 8, 1, 128, Dtype::f16},
                     {1024, 12, 12, 64, Dtype::f16},
                     {2, 3, 3, 8},
                     {300, 5, 5, 40}});
  check_plans(a100, {{1024, 12, 12, 64}, {1000, 12, 3, 128}});
  check_refusal(h200);
  fmt::print("all plans exist\n");
} catch (const Error& e) {
  fmt::print("{}\n", e.what());
  return 1;
}
