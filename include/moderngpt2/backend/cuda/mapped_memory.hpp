#pragma once

#include <cstddef>
#include <source_location>
#include <string_view>
#include <utility>
#include <vector>

#include "moderngpt2/backend/cuda/check.hpp"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/memory.hpp"
#include "moderngpt2/core/partial_use.hpp"

namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI {

/// Virtual memory management functions of the CUDA driver API, which the runtime API lacks (CUDA C++ Programming Guide,
/// "Virtual Memory Management"). They are looked up at run time instead of linked, so that programs start on machines
/// without a driver.
class Driver {
 public:
  /// The functions, looked up on the first call. Throws an Error if the driver lacks one.
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

  /// Throws an Error if a call of the driver failed, with the caller's location and what to do, like cuda::check().
  static void check(CUresult status, std::string_view call,
                    std::source_location where = std::source_location::current()) {
    if (status == CUDA_SUCCESS) return;
    const auto same = static_cast<cudaError_t>(status);  // both APIs number errors alike
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
    constexpr unsigned version = 12000;  // CUDA version of the signatures
    cuda::check(cudaGetDriverEntryPointByVersion(name, &found, version, cudaEnableDefault, &result),
                "cudaGetDriverEntryPointByVersion");
#endif
    if (!found) throw Error("the NVIDIA driver has no {}: install a driver for CUDA 12 or later", name);
    function = reinterpret_cast<F*>(found);
  }
};

/// Owns an address range of the GPU for a whole buffer, backed by memory for a part of it: addresses that are never in
/// use at the same time share physical memory. map() makes all mappings once, so that none has to wait for kernels.
/// Data written through one address and read through an alias needs separate kernels, ordered by streams or events
/// (CUDA C++ Programming Guide, "Virtual Aliasing Support").
class MappedMemory {
 public:
  MappedMemory() = default;
  /// Reserves `bytes` bytes of addresses on the current device. Throws an Error if it does not support this.
  explicit MappedMemory(std::size_t bytes) : bytes_(bytes) {
    check(cudaGetDevice(&device_), "cudaGetDevice");
    const Driver& driver = Driver::get();
    int can_map = 0;
    Driver::check(driver.device_attribute(&can_map, CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, device_),
                  "cuDeviceGetAttribute");
    if (!can_map)
      throw Error("GPU {} does not support virtual memory management, which ZeRO stages 2 and 3 need: use ZeRO stage 1",
                  device_);
    const CUmemAllocationProp kind = kind_of_memory();
    Driver::check(driver.granularity(&chunk_, &kind, CU_MEM_ALLOC_GRANULARITY_MINIMUM),
                  "cuMemGetAllocationGranularity");
    Driver::check(driver.reserve(&address_, reserved(), 0, 0, 0), "cuMemAddressReserve");
  }
  MappedMemory(MappedMemory&& other) noexcept { swap(other); }
  MappedMemory& operator=(MappedMemory&& other) noexcept {
    swap(other);
    return *this;
  }
  /// Waits for all work of the device, like cudaFree.
  ~MappedMemory() {
    if (address_ == 0) return;
    const Driver& driver = Driver::get();
    if (mapped_ > 0) cudaDeviceSynchronize();
    for (std::size_t c = 0; c < mapped_; ++c) driver.unmap(address_ + c * chunk_, chunk_);
    for (const CUmemGenericAllocationHandle piece : pieces_) driver.release(piece);
    driver.free_addresses(address_, reserved());
  }

  std::byte* data() const { return reinterpret_cast<std::byte*>(address_); }
  std::size_t size() const { return bytes_; }
  bool has_memory() const { return mapped_ > 0; }
  /// Allocated bytes; size() is the size of the address range.
  std::size_t memory_bytes() const { return pieces_.size() * chunk_; }

  /// Allocates and maps uninitialized memory for all addresses, shared as `use` permits. Called at most once. Throws an
  /// Error if the GPU is out of memory.
  void map(const PartialUse& use) {
    const ChunkMap chunks = assign_pieces(use, bytes_, chunk_);
    const Driver& driver = Driver::get();
    const CUmemAllocationProp kind = kind_of_memory();
    pieces_.reserve(chunks.pieces);
    while (pieces_.size() < chunks.pieces) {
      CUmemGenericAllocationHandle piece{};
      const CUresult status = driver.create(&piece, chunk_, &kind, 0);
      if (status == CUDA_ERROR_OUT_OF_MEMORY) throw out_of_memory((chunks.pieces - pieces_.size()) * chunk_);
      Driver::check(status, "cuMemCreate");
      pieces_.push_back(piece);
    }
    for (const std::size_t piece : chunks.piece) {
      Driver::check(driver.map(address_ + mapped_ * chunk_, chunk_, 0, pieces_[piece], 0), "cuMemMap");
      ++mapped_;
    }
    const CUmemAccessDesc access{.location = kind.location, .flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
    Driver::check(driver.set_access(address_, reserved(), &access, 1), "cuMemSetAccess");
  }

 private:
  CUmemAllocationProp kind_of_memory() const {
    CUmemAllocationProp kind{};
    kind.type = CU_MEM_ALLOCATION_TYPE_PINNED;
    kind.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
    kind.location.id = device_;
    return kind;
  }
  std::size_t reserved() const { return round_up(bytes_, chunk_); }
  void swap(MappedMemory& other) noexcept {
    std::swap(bytes_, other.bytes_), std::swap(chunk_, other.chunk_), std::swap(device_, other.device_);
    std::swap(address_, other.address_), std::swap(mapped_, other.mapped_);
    pieces_.swap(other.pieces_);
  }

  std::size_t bytes_ = 0, chunk_ = 0;
  int device_ = 0;
  CUdeviceptr address_ = 0;
  std::size_t mapped_ = 0;  // chunks
  std::vector<CUmemGenericAllocationHandle> pieces_;
};

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI
