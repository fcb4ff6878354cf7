#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

#include "moderngpt2/core/dtype.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/quantized_blocks.hpp"
#include "moderngpt2/core/separate_compilation.hpp"

namespace moderngpt2 {

/// Element types of GGUF tensors that are read and written, by their number in the file (enum ggml_type of ggml.h).
enum class GgufDtype : std::uint32_t { f32 = 0, f16 = 1, q4_0 = 2, q8_0 = 8, bf16 = 30 };

namespace detail {

struct GgufDtypeEntry {
  GgufDtype dtype;
  std::string_view name;    ///< on a command line
  std::uint64_t values;     ///< in a block
  std::uint64_t bytes;      ///< in a block
  std::uint32_t file_type;  ///< general.file_type of a file whose matrices have this type (enum llama_ftype)
};

inline constexpr std::array<GgufDtypeEntry, 5> gguf_dtypes{{
    {GgufDtype::f32, "f32", 1, 4, 0},
    {GgufDtype::f16, "f16", 1, 2, 1},
    {GgufDtype::bf16, "bf16", 1, 2, 32},
    {GgufDtype::q8_0, "q8_0", block_values, sizeof(BlockQ8_0), 7},
    {GgufDtype::q4_0, "q4_0", block_values, sizeof(BlockQ4_0), 2},
}};

constexpr const GgufDtypeEntry* find_gguf_dtype(std::uint32_t number) {
  for (const GgufDtypeEntry& entry : gguf_dtypes)
    if (static_cast<std::uint32_t>(entry.dtype) == number) return &entry;
  return nullptr;
}
constexpr const GgufDtypeEntry& gguf_dtype_entry(GgufDtype dtype) {
  return *find_gguf_dtype(static_cast<std::uint32_t>(dtype));
}

/// ggml's name of a tensor type, such as "Q4_K", or its number.
inline std::string ggml_type_name(std::uint32_t number) {
  constexpr std::array<std::string_view, 40> names{
      "F32",    "F16",   "Q4_0",  "Q4_1",   "Q4_2",  "Q4_3",  "Q5_0",    "Q5_1",   "Q8_0",    "Q8_1",
      "Q2_K",   "Q3_K",  "Q4_K",  "Q5_K",   "Q6_K",  "Q8_K",  "IQ2_XXS", "IQ2_XS", "IQ3_XXS", "IQ1_S",
      "IQ4_NL", "IQ3_S", "IQ2_S", "IQ4_XS", "I8",    "I16",   "I32",     "I64",    "F64",     "IQ1_M",
      "BF16",   "",      "",      "",       "TQ1_0", "TQ2_0", "",        "",       "",        "MXFP4"};
  if (number < names.size() && !names[number].empty()) return std::string(names[number]);
  return "number " + std::to_string(number);
}

}  // namespace detail

/// Name of a type on a command line: f32, f16, bf16, q8_0 or q4_0.
constexpr std::string_view gguf_dtype_name(GgufDtype dtype) { return detail::gguf_dtype_entry(dtype).name; }

/// Type with a name; nullopt for an unknown name.
constexpr std::optional<GgufDtype> gguf_dtype_from_name(std::string_view name) {
  for (const detail::GgufDtypeEntry& entry : detail::gguf_dtypes)
    if (entry.name == name) return entry.dtype;
  return std::nullopt;
}

namespace detail {

/// Converts stored elements to floats. `count` is a multiple of the type's block.
void gguf_decode(GgufDtype dtype, const std::byte* from, std::int64_t count, float* to);

/// Converts floats to stored elements. `count` is a multiple of the type's block. Throws Error that names `tensor` for
/// a value that the type cannot store.
void gguf_encode(GgufDtype dtype, const float* from, std::int64_t count, std::byte* to, std::string_view tensor);

}  // namespace detail
}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

/// Calls f with a value of the C++ type of an element, or of a block of elements.
template <class F>
void with_gguf_type(GgufDtype dtype, F&& f) {
  switch (dtype) {
    case GgufDtype::f32:
      return f(float{});
    case GgufDtype::f16:
      return f(f16{});
    case GgufDtype::bf16:
      return f(bf16{});
    case GgufDtype::q8_0:
      return f(BlockQ8_0{});
    case GgufDtype::q4_0:
      return f(BlockQ4_0{});
  }
}

/// Number of elements that a value of with_gguf_type() stores.
template <class T>
inline constexpr std::int64_t gguf_values = std::is_convertible_v<T, float> ? 1 : block_values;

MODERNGPT2_INLINE void gguf_decode(GgufDtype dtype, const std::byte* from, std::int64_t count, float* to) {
  with_gguf_type(dtype, [&]<class T>(T value) {
    if constexpr (std::is_same_v<T, float>) {
      std::memcpy(to, from, std::size_t(count) * sizeof(float));
    } else {
      for (std::int64_t i = 0; i < count; i += gguf_values<T>, from += sizeof(T)) {
        std::memcpy(&value, from, sizeof(T));
        if constexpr (gguf_values<T> == 1)
          to[i] = value;
        else
          dequantize_block(value, to + i);
      }
    }
  });
}

MODERNGPT2_INLINE void gguf_encode(GgufDtype dtype, const float* from, std::int64_t count, std::byte* to,
                                   std::string_view tensor) {
  with_gguf_type(dtype, [&]<class T>(T value) {
    if constexpr (std::is_same_v<T, float>) {
      std::memcpy(to, from, std::size_t(count) * sizeof(float));
    } else {
      for (std::int64_t i = 0; i < count; i += gguf_values<T>, to += sizeof(T)) {
        if constexpr (gguf_values<T> == 1)
          value = T(from[i]);
        else
          quantize_block(from + i, value, tensor);
        if constexpr (std::is_same_v<T, f16>)
          if (!(std::fabs(float(value)) <= 65504))
            throw Error(
                "{}: the value {} cannot be stored as f16 (finite, magnitude at most 65504). Choose another dtype.",
                excerpt(tensor), from[i]);
        std::memcpy(to, &value, sizeof(T));
      }
    }
  });
}

}  // namespace moderngpt2::detail

#endif
