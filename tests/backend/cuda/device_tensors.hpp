#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "moderngpt2/backend/cuda.hpp"
#include "moderngpt2/core/scalar.hpp"

namespace moderngpt2::cases {

/// Tensors of a case in GPU memory, with the guard elements around each.
template <class T>
class DeviceTensors {
 public:
  using Full = compute_t<T>;

  template <class Host>
  DeviceTensors(cuda::Backend& b, const Host& host) : backend_(b), margin_(Host::margin) {
    for (std::size_t i = 0; i < host.count(); ++i)
      host.visit(i, [&]<class E>(const E* data) {
        const std::int64_t n = host.size(i) + 2 * margin_;
        memory_.emplace_back(std::size_t(n) * sizeof(E));
        sizes_.push_back(host.size(i));
        cuda::copy(b.stream(), static_cast<E*>(memory_.back().data()), data - margin_, n);
      });
    b.synchronize();
  }

  T* operator[](std::size_t i) const { return static_cast<T*>(memory_[i].data()) + margin_; }
  Full* full(std::size_t i) const { return static_cast<Full*>(memory_[i].data()) + margin_; }
  std::int64_t size(std::size_t i) const { return sizes_[i]; }

  /// Copy in GPU memory that lives as long as the tensors.
  template <class E>
  const E* on_device(const E* data, std::size_t n) const {
    if (!data) return nullptr;
    extra_.emplace_back(n * sizeof(E));
    auto* const there = static_cast<E*>(extra_.back().data());
    cuda::copy(backend_.stream(), there, data, std::int64_t(n));
    backend_.synchronize();
    return there;
  }

  /// Waits for the backend, then copies the tensors to the host.
  template <class Host>
  void download(const Host& host) const {
    for (std::size_t i = 0; i < host.count(); ++i)
      host.visit(i, [&]<class E>(E* data) {
        cuda::copy(backend_.stream(), data - margin_, static_cast<const E*>(memory_[i].data()),
                   sizes_[i] + 2 * margin_);
      });
    backend_.synchronize();
  }

 private:
  cuda::Backend& backend_;
  std::int64_t margin_;
  std::vector<cuda::DeviceMemory> memory_;
  std::vector<std::int64_t> sizes_;
  mutable std::vector<cuda::DeviceMemory> extra_;
};

}  // namespace moderngpt2::cases
