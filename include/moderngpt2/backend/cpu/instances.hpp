#pragma once

#include <cstdint>
#include <type_traits>

#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/backend/cpu/attention.hpp"
#include "moderngpt2/backend/cpu/attention_backward.hpp"
#include "moderngpt2/backend/cpu/backend.hpp"
#include "moderngpt2/backend/cpu/decode_attention.hpp"
#include "moderngpt2/backend/cpu/embedding.hpp"
#include "moderngpt2/backend/cpu/gated_activation.hpp"
#include "moderngpt2/backend/cpu/losses.hpp"
#include "moderngpt2/backend/cpu/matmul.hpp"
#include "moderngpt2/backend/cpu/norm.hpp"
#include "moderngpt2/backend/cpu/optimizer.hpp"
#include "moderngpt2/backend/cpu/product.hpp"
#include "moderngpt2/backend/cpu/rotary.hpp"
#include "moderngpt2/backend/cpu/rows.hpp"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/core/view.hpp"

// Explicit instantiations of the CPU operations, for programs of several source files (core/separate_compilation.hpp).
// With MODERNGPT2_SEPARATE_COMPILATION, this header only declares them. One source file of the program defines those
// for float with
//
//     namespace moderngpt2::cpu { MODERNGPT2_CPU_OPERATIONS(template, float) }
//
// and one, possibly the same file, those for bf16.

/// Instantiates the CPU operations for activations of element type T. DECLARE: `template` (definition) or
/// `extern template` (declaration).
#define MODERNGPT2_CPU_OPERATIONS(DECLARE, T)                                                                          \
  DECLARE void embedding<T>(Backend&, Rows<T>, const int*, ConstMatrix<T>, float, int, const Dropout&);                \
  DECLARE void embedding_backward<T>(Backend&, Matrix<float>, const int*, Rows<T>, float, int, const Dropout&);        \
  DECLARE void embedding_backward<const T>(Backend&, Matrix<float>, const int*, Rows<const T>, float, int,             \
                                           const Dropout&);                                                            \
  DECLARE void dropout<T>(Backend&, Rows<T>, int, const Dropout&);                                                     \
  DECLARE void matmul<T, const T, T>(Backend&, Rows<T>, Rows<const T>, Matrix<T>, Vector<const float>);                \
  DECLARE void matmul_backward_input<T, const T, T>(Backend&, Rows<T>, Rows<const T>, Matrix<T>, bool);                \
  DECLARE void matmul_backward_input<T, T, T>(Backend&, Rows<T>, Rows<T>, Matrix<T>, bool);                            \
  DECLARE void matmul_backward_weight<const T, const T>(Backend&, Matrix<float>, Rows<const T>, Rows<const T>);        \
  DECLARE void matmul_backward_weight<T, const T>(Backend&, Matrix<float>, Rows<T>, Rows<const T>);                    \
  DECLARE void column_sum<const T>(Backend&, Vector<float>, Rows<const T>);                                            \
  DECLARE void column_sum<T>(Backend&, Vector<float>, Rows<T>);                                                        \
  DECLARE void rotary<T>(Backend&, Rows<T>, const RotaryTable<float>&, int, int, float);                               \
  DECLARE void rotary<T>(Backend&, Rows<T>, const RotaryTable<float>&, int, const int*, float);                        \
  DECLARE void rotary_backward<T>(Backend&, Rows<T>, const RotaryTable<float>&, int, int, float);                      \
  DECLARE void attention<T>(Backend&, Rows<T>, float*, ConstRows<T>, ConstRows<T>, ConstRows<T>,                       \
                            const AttentionCall&);                                                                     \
  DECLARE void attention_backward<T>(Backend&, Rows<T>, Rows<T>, Rows<T>, ConstRows<T>, ConstRows<T>, const float*,    \
                                     ConstRows<T>, ConstRows<T>, ConstRows<T>, const AttentionCall&);                  \
  DECLARE void rms_norm<T>(Backend&, Rows<T>, ConstRows<T>, Vector<const float>, float);                               \
  DECLARE void rms_norm_backward<T>(Backend&, Rows<T>, Vector<float>, ConstRows<T>, ConstRows<T>, Vector<const float>, \
                                    float, bool);                                                                      \
  DECLARE void add_norm<T>(Backend&, Rows<T>, Rows<T>, ConstRows<T>, Rows<T>, Vector<const float>,                     \
                           Vector<const float>, float, int, const Dropout&);                                           \
  DECLARE void add_norm_backward<T>(Backend&, Rows<T>, Rows<T>, Vector<float>, Vector<float>, ConstRows<T>,            \
                                    ConstRows<T>, ConstRows<T>, Vector<const float>, Vector<const float>, float, int,  \
                                    const Dropout&);                                                                   \
  DECLARE void gated_activation<T>(Backend&, Rows<T>, ConstRows<T>, Activation);                                       \
  DECLARE void gated_activation_backward<T>(Backend&, Rows<T>, ConstRows<T>, ConstRows<T>, Activation);                \
  DECLARE void logits<const T, T>(Backend&, Rows<float>, Rows<const T>, Matrix<T>, float);                             \
  DECLARE double classifier<T>(Backend&, Rows<T>, Matrix<float>, ConstRows<T>, ConstMatrix<T>, const int*, float,      \
                               float, float);                                                                          \
  DECLARE double classifier_loss<const T, T>(Backend&, Rows<const T>, ConstMatrix<T>, const int*, float, float);       \
  DECLARE void scatter_rows_add<T>(Backend&, Rows<T>, ConstRows<T>, const int*);                                       \
  DECLARE void fill<T>(Backend&, T*, std::int64_t, std::type_identity_t<T>);                                           \
  DECLARE void cast<T, float>(Backend&, T*, const float*, std::int64_t);                                               \
  DECLARE double sum_of_squares<T>(Backend&, const T*, std::int64_t);

#ifdef MODERNGPT2_SEPARATE_COMPILATION
namespace moderngpt2::cpu::inline MODERNGPT2_CPU_ABI {
MODERNGPT2_CPU_OPERATIONS(extern template, float)
MODERNGPT2_CPU_OPERATIONS(extern template, bf16)
}  // namespace moderngpt2::cpu::inline MODERNGPT2_CPU_ABI
#endif
