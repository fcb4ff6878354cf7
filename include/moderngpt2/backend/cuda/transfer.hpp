#pragma once

#include <algorithm>
#include <cstdint>

#include "moderngpt2/backend/cuda/backend.hpp"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/memory.hpp"
#include "moderngpt2/core/partial_use.hpp"
#include "moderngpt2/core/view.hpp"

// Transfers between host and GPU memory, and copies of rows, as listed in backend/host.hpp.
namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI {

/// Begins a pass: discards the uploads of the previous one. The pass may run in another thread than the previous one.
inline void begin_pass(Backend& b) {
  select_device(b);
  b.inputs().begin();
}

/// Queues an upload of from (n) on the host. Returns the array in GPU memory, valid until the next pass begins; null
/// for null.
template <class E>
const E* upload(Backend& b, const E* from, std::int64_t n) {
  if (!from) return nullptr;
  return b.inputs().add<E>(b.stream(), n, [=](E* to) { std::copy_n(from, n, to); });
}

/// Calls write(array of n elements on the host), then queues its copy to `to` (n) in GPU memory.
template <class E, class F>
void upload_into(Backend& b, E* to, std::int64_t n, F&& write) {
  b.inputs().add_to(b.stream(), to, n, write);
}

/// Copies from (n) in GPU memory to `to` on the host. Waits for the copy.
template <class E>
void download(const Backend& b, E* to, const E* from, std::int64_t n) {
  copy(b.stream(), to, from, n);
  b.synchronize();
}

/// Copies from (n) on the host to `to` in GPU memory. Waits for the copy.
template <class E>
void store(const Backend& b, E* to, const E* from, std::int64_t n) {
  copy(b.stream(), to, from, n);
  b.synchronize();
}

/// Allocates zero-filled memory for `use` of a buffer that was made with Pages::as_used. Waits for the GPU.
template <class E>
void commit_memory(const Backend& b, FlatBuffer<E, DeviceBuffer>& buffer, const PartialUse& use) {
  b.synchronize();
  buffer.memory().commit_memory(use);
}

/// No-op: parts of the buffer share memory, which is never returned.
template <class E>
void discard(const Backend&, E*, std::int64_t) {}

/// Queues data (n) = 0.
template <class E>
void zero_and_discard(const Backend& b, E* data, std::int64_t n) {
  fill_bytes(b.stream(), data, 0, std::size_t(n) * sizeof(E));
}

/// Returns a copy of a host buffer in GPU memory. Waits for the copy.
template <class E>
FlatBuffer<E, DeviceBuffer> move_to_backend(const Backend& b, FlatBuffer<E> buffer) {
  FlatBuffer<E, DeviceBuffer> there(buffer.size());
  store(b, there.data(), static_cast<const E*>(buffer.data()), buffer.size());
  return there;
}

/// Queues out (N,C) = x (N,C).
template <class T>
void copy_rows(Backend& b, Rows<T> out, ConstRows<T> x) {
  if (out.count == 0 || out.width == 0) return;
  constexpr std::size_t size = sizeof(T);
  check(cudaMemcpy2DAsync(out.data, std::size_t(out.stride) * size, x.data, std::size_t(x.stride) * size,
                          std::size_t(out.width) * size, std::size_t(out.count), cudaMemcpyDeviceToDevice, b.stream()),
        "cudaMemcpy2DAsync");
}

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI
