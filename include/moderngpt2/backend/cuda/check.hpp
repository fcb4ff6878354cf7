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
             "that "
             "it supports";
    case cudaErrorNoDevice:
      return "no NVIDIA GPU is visible: check nvidia-smi and CUDA_VISIBLE_DEVICES, or use --device cpu";
    case cudaErrorInvalidDevice:
      return "there is no GPU of this number: nvidia-smi lists those that there are";
    case cudaErrorMemoryAllocation:
      return "the GPU's memory is full: use a smaller batch, block or model, --gradient_checkpointing, or end what "
             "else "
             "uses the GPU";
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

}  // namespace moderngpt2::cuda
