#pragma once

#include <complex>

#include "moderngpt2/backend/activation.hpp"
#include "moderngpt2/backend/cpu/gated_activation.hpp"
#include "moderngpt2/config/activation.hpp"
#include "moderngpt2/core/dtype.hpp"

namespace moderngpt2 {

namespace detail {

template <class T, class A>
inline constexpr ActivationFunctions::Rows<T> activation_rows{cpu::detail::functor_row<A, T>,
                                                              cpu::detail::functor_row_backward<A, T>};

/// Formulas of A. Its address identifies A in the table of registered activations.
template <class A>
inline constexpr ActivationFunctions activation_functions{
    .at = {[](float x) { return A::at(x); }, [](double x) { return A::at(x); },
           [](std::complex<double> x) { return A::at(x); }},
    .rows = {activation_rows<float, A>, activation_rows<bf16, A>}};

}  // namespace detail

/// Makes the functor A (see ActivationFor) available under its name in this process: config.json and command lines may
/// name it, and models of run-time shape compute it on the CPU and the reference backend. Returns its value for
/// Config::activation. Call it before a config is read or a command line is parsed; a second call for A returns the
/// same value. May be called from any thread. Throws Error if the name is that of another activation. On a GPU, A also
/// needs kernels: backend/cuda/kernels/user_activation.cuh.
template <class A>
Activation register_activation() {
  static_assert(detail::require_activation_functor<A>());
  return detail::activation_registry.add(A::name, &detail::activation_functions<A>);
}

}  // namespace moderngpt2
