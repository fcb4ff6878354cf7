#pragma once

#include <cstdint>
#include <cstring>
#include <source_location>

#include "moderngpt2/backend/cuda/simt/warp.hpp"
#include "moderngpt2/core/dtype.hpp"

// mma.sync.m16n8k16 and ldmatrix of the simulated GPU. Lanes hold the elements that the PTX ISA specifies ("Matrix
// Fragments for mma.m16n8k16 with floating point type", "ldmatrix"); with q = lane / 4 and r = lane % 4:
//   a[i]: elements 2 i + j, j = 0 1, at row q + 8 (i % 2), column 2 r + j + 8 (i / 2)
//   b[i]: at row 2 r + j + 8 i, column q
//   d[i]: at row q + 8 (i / 2), column 2 r + i % 2
namespace moderngpt2::simt {

namespace detail {

template <class T>
float half_of(std::uint32_t pair, int which) {
  return float(T::from_bits(std::uint16_t(pair >> (16 * which))));
}

struct Fragments {
  std::uint32_t a[4], b[2];
  float d[4];
};
static_assert(sizeof(Fragments) <= Rendezvous::payload_bytes);

template <class T>
void multiply(Rendezvous& r, std::uint64_t turn) {
  float a[16][16], b[16][8], d[16][8] = {};
  for (int lane = 0; lane < 32; ++lane) {
    const auto f = r.brought<Fragments>(turn, lane);
    const int q = lane / 4, c = lane % 4 * 2;
    for (int i = 0; i < 4; ++i)
      for (int j = 0; j < 2; ++j) a[q + i % 2 * 8][c + j + i / 2 * 8] = half_of<T>(f.a[i], j);
    for (int i = 0; i < 2; ++i)
      for (int j = 0; j < 2; ++j) b[c + j + i * 8][q] = half_of<T>(f.b[i], j);
  }
  for (int row = 0; row < 16; ++row)
    for (int k = 0; k < 16; ++k)
      for (int col = 0; col < 8; ++col) d[row][col] += a[row][k] * b[k][col];
  for (int lane = 0; lane < 32; ++lane) {
    const auto f = r.brought<Fragments>(turn, lane);
    float out[4];
    for (int i = 0; i < 4; ++i) out[i] = f.d[i] + d[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2];
    std::memcpy(r.turns[turn & 1].made[lane], out, sizeof out);
  }
}

}  // namespace detail

/// d (16,8) += a (16,16) b (16,8) by a warp; a and b of type T, d in fp32.
template <class T>
void mma(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2], std::source_location where) {
  Rendezvous& r = meeting(full_mask, "mma.sync", where);
  detail::Fragments f;
  std::memcpy(f.a, a, sizeof a);
  std::memcpy(f.b, b, sizeof b);
  std::memcpy(f.d, d, sizeof d);
  const std::uint64_t turn = meet(r, "mma.sync", f, where, [&r](std::uint64_t at) { detail::multiply<T>(r, at); });
  float out[4];
  {
    sanitizer::Quiet quiet;
    std::memcpy(out, r.turns[turn & 1].made[machine().thread().lane], sizeof out);
  }
  std::memcpy(d, out, sizeof out);
}

/// Loads `count` matrices of 8 x 8 16-bit elements: lane 8 m + i passes row i of matrix m; a lane receives columns
/// 2 (lane % 4) and 2 (lane % 4) + 1 of row lane / 4 of each matrix, or of its transpose.
template <int count, bool transposed>
void ldmatrix(std::uint32_t (&out)[count], const void* row, std::source_location where) {
  constexpr const char* what = transposed ? "ldmatrix.trans" : "ldmatrix";
  Rendezvous& r = meeting(full_mask, what, where);
  const int lane = machine().thread().lane;
  if (lane < 8 * count && reinterpret_cast<std::uintptr_t>(row) % 16 != 0)
    machine().fail("ldmatrix of a row that does not start at a multiple of 16 bytes", where);
  const std::uint64_t turn = meet(r, what, row, where);
  const auto row_of = [&](int n) {
    sanitizer::Quiet quiet;
    return static_cast<const std::uint16_t*>(r.brought<const void*>(turn, n));
  };
  const int q = lane / 4, c = lane % 4 * 2;
  for (int m = 0; m < count; ++m) {  // the receiving lane makes the loads
    const std::uint16_t low = transposed ? row_of(8 * m + c)[q] : row_of(8 * m + q)[c];
    const std::uint16_t high = transposed ? row_of(8 * m + c + 1)[q] : row_of(8 * m + q)[c + 1];
    out[m] = std::uint32_t(low) | std::uint32_t(high) << 16;
  }
}

}  // namespace moderngpt2::simt
