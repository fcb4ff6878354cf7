#pragma once

#include <utility>

#include "moderngpt2/backend/host.hpp"
#include "moderngpt2/model/parameters.hpp"

namespace moderngpt2::test {

/// Buffers of a backend in host memory: the buffers themselves, or copies.
template <class B, class E, class Memory>
decltype(auto) on_host(B& backend, const ParameterBuffers<E, Memory>& buffers) {
  if constexpr (OnHost<B>) {
    return (buffers);
  } else {
    ParameterBuffers<E> here(buffers.matrices.size(), buffers.vectors.size());
    download(backend, here.matrices.data(), buffers.matrices.data(), here.matrices.size());
    download(backend, here.vectors.data(), buffers.vectors.data(), here.vectors.size());
    return here;
  }
}

/// Calls f(buffers in host memory), which may read and change them.
template <class B, class E, class Memory, class F>
void edit_on_host(B& backend, ParameterBuffers<E, Memory>& buffers, F&& f) {
  if constexpr (OnHost<B>) {
    f(buffers);
  } else {
    ParameterBuffers<E> here = on_host(backend, buffers);
    f(here);
    buffers.matrices = move_to_backend(backend, std::move(here.matrices));
    buffers.vectors = move_to_backend(backend, std::move(here.vectors));
  }
}

}  // namespace moderngpt2::test
