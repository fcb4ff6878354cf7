#pragma once

#include <cstddef>
#include <source_location>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "moderngpt2/backend/cuda/runtime.hpp"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/error.hpp"

namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI {

/// Returns advice about a failed CUDA call, for the end of an error message.
inline const char* advice(cudaError_t status) {
  switch (status) {
    case cudaErrorInsufficientDriver:
      return "the NVIDIA driver is missing or too old for this program's CUDA: nvidia-smi shows the CUDA version that "
             "it "
             "supports; install a later driver, or build with an older CUDA";
    case cudaErrorStubLibrary:
      return "the toolkit's stub of libcuda.so was loaded instead of the driver's: remove the folder lib64/stubs from "
             "LD_LIBRARY_PATH";
    case cudaErrorSystemDriverMismatch:
    case cudaErrorCompatNotSupportedOnDevice:
      return "the driver and its library libcuda.so have different versions: reboot after an update of the driver, and "
             "remove folders of CUDA's compatibility package (cuda/compat) from LD_LIBRARY_PATH";
    case cudaErrorSystemNotReady:
      return "the GPUs are not ready: machines with NVSwitch need a running nvidia-fabricmanager of the driver's "
             "version";
    case cudaErrorInitializationError:
      return "CUDA could not start: check nvidia-smi, and that the job or container has a GPU";
    case cudaErrorDevicesUnavailable:
      return "the GPU is in use: its compute mode allows one process (nvidia-smi -c DEFAULT changes it), or another "
             "job "
             "has it; nvidia-smi lists processes";
    case cudaErrorMpsConnectionFailed:
    case cudaErrorMpsRpcFailure:
    case cudaErrorMpsServerNotReady:
    case cudaErrorMpsMaxClientsReached:
    case cudaErrorMpsMaxConnectionsReached:
      return "the MPS service refused this process: restart nvidia-cuda-mps-control, or stop it (echo quit | "
             "nvidia-cuda-mps-control) and unset CUDA_MPS_PIPE_DIRECTORY";
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorHardwareStackError:
      return "the GPU reported a hardware error: see nvidia-smi -q and the system log (Xid); use another GPU and "
             "resume "
             "from the last checkpoint";
    case cudaErrorLaunchTimeout:
      return "a kernel exceeded the time limit of a GPU with a display: use a GPU without one";
    case cudaErrorNoDevice:
      return "no NVIDIA GPU is visible: check nvidia-smi and CUDA_VISIBLE_DEVICES, or use the CPU";
    case cudaErrorInvalidDevice:
      return "no GPU has this number: nvidia-smi lists the GPUs";
    case cudaErrorMemoryAllocation:
      return "out of GPU memory: use a smaller batch, block or model, gradient checkpointing, or stop other "
             "processes "
             "on the GPU; with several GPUs, use a higher ZeRO stage";
    case cudaErrorUnsupportedPtxVersion:
      return "this program was compiled by a later CUDA than the driver supports: install a later driver, or build "
             "with "
             "this GPU's architecture in MODERNGPT2_CUDA_ARCHITECTURES";
    case cudaErrorNoKernelImageForDevice:
      return "this program contains no code for this GPU: build it with the GPU's architecture in "
             "MODERNGPT2_CUDA_ARCHITECTURES";
    case cudaErrorIllegalAddress:
    case cudaErrorMisalignedAddress:
    case cudaErrorLaunchFailure:
      return "a kernel failed: please report it with the command; compute-sanitizer names the kernel and the access";
    default:
      return "please report it with the command that led to it";
  }
}

/// File and line of a source location, the path from moderngpt2/ on: "moderngpt2/backend/cuda/memory.hpp:20".
inline std::string place_of(std::source_location where) {
  std::string_view file = where.file_name();
  if (const auto at = file.rfind("moderngpt2/"); at != file.npos) file.remove_prefix(at);
  return fmt::format("{}:{}", file, where.line());
}

/// Throws an Error if a call of CUDA failed. The message holds the caller's location, `call` (the function's name), the
/// status, and what to do.
inline void check(cudaError_t status, std::string_view call,
                  std::source_location where = std::source_location::current()) {
  if (status == cudaSuccess) return;
  throw Error("{}: {} failed: {} ({}): {}", place_of(where), call, cudaGetErrorString(status), cudaGetErrorName(status),
              advice(status));
}

/// Error for a refused allocation of `bytes` bytes of GPU memory; the message holds the free and total memory.
inline Error out_of_memory(std::size_t bytes) {
  std::size_t available = 0, total = 0;
  cudaMemGetInfo(&available, &total);
  return Error("cannot allocate {:.2f} GiB of GPU memory ({:.2f} of {:.2f} GiB are free): {}",
               double(bytes) / (1 << 30), double(available) / (1 << 30), double(total) / (1 << 30),
               advice(cudaErrorMemoryAllocation));
}

/// Error for a refused allocation of `bytes` bytes of pinned host memory.
inline Error out_of_pinned_memory(std::size_t bytes, cudaError_t status) {
  return Error("cannot allocate {:.1f} MiB of pinned host memory: {}: {}", double(bytes) / (1 << 20),
               cudaGetErrorString(status),
               status == cudaErrorMemoryAllocation
                   ? "raise the memory limit of the job (--mem of Slurm, a container's limit, ulimit -v), or use a "
                     "machine with more memory"
                   : advice(status));
}

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI
