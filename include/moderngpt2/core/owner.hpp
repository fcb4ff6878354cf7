#pragma once

#include <memory>
#include <type_traits>

namespace moderngpt2 {

template <auto Destroy>
struct Destroyer {
  template <class T>
  void operator()(T* object) const {
    Destroy(object);
  }
};

/// Owns what a C library made: Handle is the pointer that it gives, Destroy its function that ends it.
template <class Handle, auto Destroy>
using Owner = std::unique_ptr<std::remove_pointer_t<Handle>, Destroyer<Destroy>>;

}  // namespace moderngpt2
