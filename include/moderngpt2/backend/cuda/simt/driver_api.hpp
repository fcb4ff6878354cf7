#pragma once

#include <cstddef>
#include <cstring>

#include "moderngpt2/backend/cuda/simt/device.hpp"
#include "moderngpt2/backend/cuda/simt/runtime_api.hpp"

// Functions of CUDA's driver API that this library uses, on the simulated GPU. They are looked up by name, as on a GPU.

enum CUresult {
  CUDA_SUCCESS = 0,
  CUDA_ERROR_INVALID_VALUE = 1,
  CUDA_ERROR_OUT_OF_MEMORY = 2,
  CUDA_ERROR_NOT_SUPPORTED = 801
};
using CUdevice = int;
using CUdeviceptr = unsigned long long;
using CUmemGenericAllocationHandle = unsigned long long;
enum CUdevice_attribute { CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED = 102 };
enum CUmemAllocationType { CU_MEM_ALLOCATION_TYPE_INVALID, CU_MEM_ALLOCATION_TYPE_PINNED };
enum CUmemLocationType { CU_MEM_LOCATION_TYPE_INVALID, CU_MEM_LOCATION_TYPE_DEVICE };
enum CUmemAllocationGranularity_flags { CU_MEM_ALLOC_GRANULARITY_MINIMUM };
enum CUmemAccess_flags { CU_MEM_ACCESS_FLAGS_PROT_READWRITE = 3 };
struct CUmemLocation {
  CUmemLocationType type;
  int id;
};
struct CUmemAllocationProp {
  CUmemAllocationType type;
  CUmemLocation location;
};
struct CUmemAccessDesc {
  CUmemLocation location;
  CUmemAccess_flags flags;
};

namespace moderngpt2::simt::detail {

inline bool is_memory_here(const CUmemAllocationProp* p) {
  return device().maps_memory && p->type == CU_MEM_ALLOCATION_TYPE_PINNED &&
         p->location.type == CU_MEM_LOCATION_TYPE_DEVICE && p->location.id == 0;
}
inline std::byte* address_of(CUdeviceptr at) { return reinterpret_cast<std::byte*>(at); }
inline CUresult status_of(bool is_right) { return is_right ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE; }

}  // namespace moderngpt2::simt::detail

inline CUresult cuDeviceGetAttribute(int* value, CUdevice_attribute, CUdevice) {
  return *value = moderngpt2::simt::device().maps_memory, CUDA_SUCCESS;
}
inline CUresult cuMemGetAllocationGranularity(std::size_t* bytes, const CUmemAllocationProp* p,
                                              CUmemAllocationGranularity_flags) {
  *bytes = moderngpt2::simt::device().virtual_memory.granularity;
  return moderngpt2::simt::detail::status_of(moderngpt2::simt::detail::is_memory_here(p));
}
inline CUresult cuMemAddressReserve(CUdeviceptr* at, std::size_t bytes, std::size_t, CUdeviceptr, unsigned long long) {
  *at = reinterpret_cast<CUdeviceptr>(moderngpt2::simt::device().virtual_memory.reserve(bytes));
  return moderngpt2::simt::detail::status_of(*at != 0);
}
inline CUresult cuMemAddressFree(CUdeviceptr at, std::size_t bytes) {
  namespace simt = moderngpt2::simt;
  return simt::detail::status_of(simt::device().virtual_memory.free_addresses(simt::detail::address_of(at), bytes));
}
inline CUresult cuMemCreate(CUmemGenericAllocationHandle* handle, std::size_t bytes, const CUmemAllocationProp* p,
                            unsigned long long) {
  auto& d = moderngpt2::simt::device();
  if (!moderngpt2::simt::detail::is_memory_here(p)) return CUDA_ERROR_INVALID_VALUE;
  if (bytes > d.memory_bytes - d.used()) return CUDA_ERROR_OUT_OF_MEMORY;
  return moderngpt2::simt::detail::status_of((*handle = d.virtual_memory.create(bytes)) != 0);
}
inline CUresult cuMemRelease(CUmemGenericAllocationHandle handle) {
  return moderngpt2::simt::detail::status_of(moderngpt2::simt::device().virtual_memory.release(handle));
}
inline CUresult cuMemMap(CUdeviceptr at, std::size_t bytes, std::size_t offset, CUmemGenericAllocationHandle handle,
                         unsigned long long) {
  namespace simt = moderngpt2::simt;
  return simt::detail::status_of(offset == 0 &&
                                 simt::device().virtual_memory.map(simt::detail::address_of(at), bytes, handle));
}
inline CUresult cuMemUnmap(CUdeviceptr at, std::size_t bytes) {
  namespace simt = moderngpt2::simt;
  return simt::detail::status_of(simt::device().virtual_memory.unmap(simt::detail::address_of(at), bytes));
}
inline CUresult cuMemSetAccess(CUdeviceptr at, std::size_t bytes, const CUmemAccessDesc* access, std::size_t count) {
  namespace simt = moderngpt2::simt;
  return simt::detail::status_of(count == 1 && access->flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE &&
                                 simt::device().virtual_memory.set_access(simt::detail::address_of(at), bytes));
}

enum cudaDriverEntryPointQueryResult { cudaDriverEntryPointSuccess = 0, cudaDriverEntryPointSymbolNotFound = 1 };
inline constexpr unsigned long long cudaEnableDefault = 0;
inline cudaError_t cudaGetDriverEntryPointByVersion(const char* name, void** function, unsigned, unsigned long long,
                                                    cudaDriverEntryPointQueryResult* result) {
  const auto is = [&](const char* call, auto* address) {
    if (std::strcmp(name, call) != 0) return false;
    *function = reinterpret_cast<void*>(address);
    return true;
  };
  const bool found = is("cuDeviceGetAttribute", &cuDeviceGetAttribute) ||
                     is("cuMemGetAllocationGranularity", &cuMemGetAllocationGranularity) ||
                     is("cuMemAddressReserve", &cuMemAddressReserve) || is("cuMemAddressFree", &cuMemAddressFree) ||
                     is("cuMemCreate", &cuMemCreate) || is("cuMemRelease", &cuMemRelease) ||
                     is("cuMemMap", &cuMemMap) || is("cuMemUnmap", &cuMemUnmap) ||
                     is("cuMemSetAccess", &cuMemSetAccess);
  *result = found ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
  if (!found) *function = nullptr;
  return cudaSuccess;
}
