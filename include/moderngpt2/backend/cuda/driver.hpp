#pragma once

#include <source_location>
#include <string_view>

#include "moderngpt2/backend/cuda/check.hpp"

namespace moderngpt2::cuda {

/// Those calls of CUDA's driver that the runtime has no counterpart of: addresses and memory had apart from each other
/// (CUDA C++ Programming Guide, "Virtual Memory Management"). The driver is not linked, so that programs start where
/// there is none; it is asked for its calls when they are needed.
class Driver {
 public:
  /// Throws an Error where the driver does not have them.
  static const Driver& get() {
    static const Driver one;
    return one;
  }

  decltype(&cuDeviceGetAttribute) device_attribute;
  decltype(&cuMemGetAllocationGranularity) granularity;
  decltype(&cuMemAddressReserve) reserve;
  decltype(&cuMemAddressFree) free_addresses;
  decltype(&cuMemCreate) create;
  decltype(&cuMemRelease) release;
  decltype(&cuMemMap) map;
  decltype(&cuMemUnmap) unmap;
  decltype(&cuMemSetAccess) set_access;

  /// As check() of runtime calls.
  static void check(CUresult status, std::string_view call,
                    std::source_location where = std::source_location::current()) {
    if (status == CUDA_SUCCESS) return;
    const auto same = static_cast<cudaError_t>(status);  // both number errors alike
    throw Error("{}: {} failed: {} (error {} of the CUDA driver): {}", place_of(where), call, cudaGetErrorString(same),
                int(status), advice(same));
  }

 private:
  Driver() {
    find(device_attribute, "cuDeviceGetAttribute");
    find(granularity, "cuMemGetAllocationGranularity");
    find(reserve, "cuMemAddressReserve");
    find(free_addresses, "cuMemAddressFree");
    find(create, "cuMemCreate");
    find(release, "cuMemRelease");
    find(map, "cuMemMap");
    find(unmap, "cuMemUnmap");
    find(set_access, "cuMemSetAccess");
  }
  template <class F>
  static void find(F*& function, const char* name) {
    void* found = nullptr;
    cudaDriverEntryPointQueryResult result{};
#if defined(CUDART_VERSION) && CUDART_VERSION < 12050
    cuda::check(cudaGetDriverEntryPoint(name, &found, cudaEnableDefault, &result), "cudaGetDriverEntryPoint");
#else
    constexpr unsigned version = 12000;  // of the calls
    cuda::check(cudaGetDriverEntryPointByVersion(name, &found, version, cudaEnableDefault, &result),
                "cudaGetDriverEntryPointByVersion");
#endif
    if (!found) throw Error("the NVIDIA driver has no {}: take one for CUDA 12 or later", name);
    function = reinterpret_cast<F*>(found);
  }
};

}  // namespace moderngpt2::cuda
