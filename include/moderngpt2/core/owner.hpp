#pragma once

#include <memory>
#include <type_traits>

namespace moderngpt2 {

/// Deleter that calls the function Destroy.
template <auto Destroy>
struct Destroyer {
  template <class T>
  void operator()(T* object) const {
    Destroy(object);
  }
};

/// unique_ptr for a C library's object: Handle is its pointer type, Destroy the function that frees it.
template <class Handle, auto Destroy>
using Owner = std::unique_ptr<std::remove_pointer_t<Handle>, Destroyer<Destroy>>;

}  // namespace moderngpt2
