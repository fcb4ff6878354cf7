#pragma once

#include <cstddef>
#include <source_location>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "moderngpt2/backend/cuda/runtime.hpp"
#include "moderngpt2/core/error.hpp"

namespace moderngpt2::cuda {

/// What a user can do about a failed call.
inline const char* advice(cudaError_t status) {
  switch (status) {
    case cudaErrorInsufficientDriver:
      return "there is no NVIDIA driver here, or one too old for this program's CUDA: nvidia-smi names the version "
             "that it supports; install a later driver, or build with an older CUDA";
    case cudaErrorStubLibrary:
      return "a libcuda.so for building was loaded instead of the driver's: take the toolkit's folder lib64/stubs out "
             "of LD_LIBRARY_PATH";
    case cudaErrorSystemDriverMismatch:
    case cudaErrorCompatNotSupportedOnDevice:
      return "the driver's library is of another version than the driver: reboot after an update of the driver, and "
             "take folders of CUDA's compatibility package (cuda/compat) out of LD_LIBRARY_PATH";
    case cudaErrorSystemNotReady:
      return "the machine's GPUs are not ready: on one with NVSwitch nvidia-fabricmanager has to run, of the driver's "
             "version";
    case cudaErrorInitializationError:
      return "CUDA could not start: check nvidia-smi, and whether the job or container was given a GPU";
    case cudaErrorDevicesUnavailable:
      return "the GPU is taken: its compute mode lets one process in (nvidia-smi -c DEFAULT changes it), or another "
             "job has it; nvidia-smi lists processes";
    case cudaErrorMpsConnectionFailed:
    case cudaErrorMpsRpcFailure:
    case cudaErrorMpsServerNotReady:
    case cudaErrorMpsMaxClientsReached:
    case cudaErrorMpsMaxConnectionsReached:
      return "the MPS service of this machine does not take this process: start nvidia-cuda-mps-control again, or stop "
             "it (echo quit | nvidia-cuda-mps-control) and unset CUDA_MPS_PIPE_DIRECTORY";
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorHardwareStackError:
      return "the GPU has a fault: nvidia-smi -q and the system's log (Xid) name it; use another GPU and "
             "resume from the last checkpoint";
    case cudaErrorLaunchTimeout:
      return "a kernel took longer than the system lets a GPU with a display compute: use one without";
    case cudaErrorNoDevice:
      return "no NVIDIA GPU is visible: check nvidia-smi and CUDA_VISIBLE_DEVICES, or use --device cpu";
    case cudaErrorInvalidDevice:
      return "there is no GPU of this number: nvidia-smi lists those that there are";
    case cudaErrorMemoryAllocation:
      return "the GPU's memory is full: use a smaller batch, block or model, --gradient_checkpointing, or end what "
             "else uses the GPU; with several GPUs, a higher --zero_stage";
    case cudaErrorUnsupportedPtxVersion:
      return "this program's code is of a later CUDA than the driver knows: install a later driver, or build with "
             "MODERNGPT2_CUDA_ARCHITECTURES that name this GPU";
    case cudaErrorNoKernelImageForDevice:
      return "this program holds no code for this GPU: build it again with MODERNGPT2_CUDA_ARCHITECTURES that name it";
    case cudaErrorIllegalAddress:
      return "a kernel left its memory: please report it with the command; compute-sanitizer names the kernel";
    default:
      return "please report it with the command that led to it";
  }
}

/// "backend/cuda/memory.hpp:20", without what lies before it on this machine.
inline std::string place_of(std::source_location where) {
  std::string_view file = where.file_name();
  if (const auto at = file.rfind("moderngpt2/"); at != file.npos) file.remove_prefix(at);
  return fmt::format("{}:{}", file, where.line());
}

/// Throws an Error where a call of CUDA failed. `call` is its name; the place is the caller's.
inline void check(cudaError_t status, std::string_view call,
                  std::source_location where = std::source_location::current()) {
  if (status == cudaSuccess) return;
  throw Error("{}: {} failed: {} ({}): {}", place_of(where), call, cudaGetErrorString(status), cudaGetErrorName(status),
              advice(status));
}

/// What a refusal of `bytes` says, with what is free.
inline Error out_of_memory(std::size_t bytes) {
  std::size_t available = 0, total = 0;
  cudaMemGetInfo(&available, &total);
  return Error("cannot allocate {:.2f} GiB of GPU memory, {:.2f} of {:.2f} GiB are free: {}", double(bytes) / (1 << 30),
               double(available) / (1 << 30), double(total) / (1 << 30), advice(cudaErrorMemoryAllocation));
}

/// The same of memory of the host that a GPU reads, which must not be swapped out.
inline Error out_of_pinned_memory(std::size_t bytes, cudaError_t status) {
  return Error("cannot pin {:.1f} MiB of the host's memory for the GPU: {}: {}", double(bytes) / (1 << 20),
               cudaGetErrorString(status),
               status == cudaErrorMemoryAllocation
                   ? "the machine, or the job's limit of memory (--mem of Slurm, a container's, ulimit -v), "
                     "has no more"
                   : advice(status));
}

}  // namespace moderngpt2::cuda
