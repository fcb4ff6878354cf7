#pragma once

#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/backend/cuda/kernels/dropout.hpp"
#include "moderngpt2/backend/cuda/runtime.hpp"
#include "moderngpt2/core/dtype.hpp"
#include "moderngpt2/core/view.hpp"

// Entries of kernels/attention_rows.cuh: plain data, all pointers to GPU memory, those of `call` too.
namespace moderngpt2::cuda {

/// Most channels of a head.
inline constexpr int max_head_dim = 256;

/// Which queries a kernel serves: all, or those that see only padding (their even shares, AttentionCall).
enum class Queries { all, only_padding };

/// What forward and backward passes take.
template <class T>
struct AttentionInputs {
  Rows<const T> q;  ///< (BT,HD)
  Rows<const T> k;  ///< (B key_rows, KD)
  Rows<const T> v;
  AttentionCall call;
  DropoutSite dropout;
  float softcap = 0;

  AttentionInputs(Rows<const T> q_, Rows<const T> k_, Rows<const T> v_, const AttentionCall& c)
      : q(q_), k(k_), v(v_), call(c), dropout(c.dropout), softcap(float(c.softcap)) {}
};

/// A warp a query, sums in fp32.
template <class T>
struct AttentionRows {
  AttentionInputs<T> in;
  Rows<T> o;   ///< (BT,HD)
  float* lse;  ///< (B,H,T) or null; infinity marks a query that sees only padding
  Queries queries = Queries::all;

  void launch(cudaStream_t stream) const;
};

/// Each (B,H,T): mean = o . do, which is the mean of the gradients of the query's probabilities; share = what each key
/// of a query that sees only padding gets, else 0.
template <class T>
struct AttentionMeans {
  Rows<const T> d_o, o;
  const float* lse;
  float* mean;
  float* share;  ///< null without a key mask
  AttentionCall call;

  void launch(cudaStream_t stream) const;
};

/// A warp a query for dq, then a warp a key for dk and dv. Queries that see only padding set their dq, and add to dk
/// and dv.
template <class T>
struct AttentionRowsBackward {
  AttentionInputs<T> in;
  Rows<T> dq, dk, dv;
  Rows<const T> d_o;
  const float *lse, *mean, *share;
  Queries queries = Queries::all;

  void launch(cudaStream_t stream) const;
};

}  // namespace moderngpt2::cuda
