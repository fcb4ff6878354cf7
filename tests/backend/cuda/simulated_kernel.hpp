#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/backend/cuda/backend.hpp"
#include "moderngpt2/backend/cuda/device.cuh"
#include "moderngpt2/backend/cuda/launch.hpp"

namespace moderngpt2::test {

/// Runs kernel(out, arguments...) on the simulated GPU with `seed`. Returns the `count` elements of out.
template <class T, class Kernel, class... Arguments>
std::vector<T> run_kernel(std::uint64_t seed, std::int64_t count, Kernel kernel, dim3 grid, dim3 block,
                          std::size_t shared_bytes, Arguments... arguments) {
  simt::machine().seed(seed);
  const cuda::Stream stream;
  const cuda::DeviceArray<T> out(count);
  std::vector<T> host(std::size_t(count), T{});
  cuda::copy(stream, out.data(), host.data(), count);
  cuda::launch(stream, kernel, grid, block, shared_bytes, out.data(), arguments...);
  cuda::copy(stream, host.data(), static_cast<const T*>(out.data()), count);
  stream.synchronize();
  return host;
}

/// Message of the Fault that f() throws; empty if it throws none.
template <class F>
std::string fault_of(F&& f) {
  try {
    f();
  } catch (const simt::Fault& fault) {
    return fault.what();
  }
  return {};
}

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }

}  // namespace moderngpt2::test
