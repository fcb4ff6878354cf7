#pragma once

#include <bit>
#include <cstdint>
#include <optional>
#include <string_view>

namespace moderngpt2 {

/// Element types of tensors in memory and in safetensors files. Types such as f4, f6, f8 and c64 exist so that files
/// with them can be listed; no operation computes in them.
enum class Dtype : unsigned char {
  boolean,
  f4,
  f6_e2m3,
  f6_e3m2,
  u8,
  i8,
  f8_e5m2,
  f8_e4m3,
  f8_e8m0,
  f8_e4m3fnuz,
  f8_e5m2fnuz,
  i16,
  u16,
  f16,
  bf16,
  i32,
  u32,
  f32,
  c64,
  f64,
  i64,
  u64,
};

namespace detail {

struct DtypeEntry {
  Dtype dtype;
  std::string_view name;
  int bits;
};

inline constexpr DtypeEntry dtype_table[] = {
    {Dtype::boolean, "BOOL", 8},
    {Dtype::f4, "F4", 4},
    {Dtype::f6_e2m3, "F6_E2M3", 6},
    {Dtype::f6_e3m2, "F6_E3M2", 6},
    {Dtype::u8, "U8", 8},
    {Dtype::i8, "I8", 8},
    {Dtype::f8_e5m2, "F8_E5M2", 8},
    {Dtype::f8_e4m3, "F8_E4M3", 8},
    {Dtype::f8_e8m0, "F8_E8M0", 8},
    {Dtype::f8_e4m3fnuz, "F8_E4M3FNUZ", 8},
    {Dtype::f8_e5m2fnuz, "F8_E5M2FNUZ", 8},
    {Dtype::i16, "I16", 16},
    {Dtype::u16, "U16", 16},
    {Dtype::f16, "F16", 16},
    {Dtype::bf16, "BF16", 16},
    {Dtype::i32, "I32", 32},
    {Dtype::u32, "U32", 32},
    {Dtype::f32, "F32", 32},
    {Dtype::c64, "C64", 64},
    {Dtype::f64, "F64", 64},
    {Dtype::i64, "I64", 64},
    {Dtype::u64, "U64", 64},
};

}  // namespace detail

/// Name in safetensors headers, such as "BF16".
constexpr std::string_view dtype_name(Dtype dtype) { return detail::dtype_table[static_cast<int>(dtype)].name; }

/// Bits of one element.
constexpr int dtype_bits(Dtype dtype) { return detail::dtype_table[static_cast<int>(dtype)].bits; }

/// Bytes of one element; 0 for types of less than a byte.
constexpr int dtype_size(Dtype dtype) { return dtype_bits(dtype) / 8; }

/// Type with a given name in safetensors headers; nullopt for an unknown name.
constexpr std::optional<Dtype> dtype_from_name(std::string_view name) {
  for (const detail::DtypeEntry& entry : detail::dtype_table)
    if (entry.name == name) return entry.dtype;
  return std::nullopt;
}

/// bfloat16, the upper half of an IEEE single: 8 exponent bits, 7 mantissa bits. Storage only; arithmetic uses float.
struct bf16 {
  std::uint16_t bits = 0;

  bf16() = default;
  /// Rounds to nearest, ties to even. NaN stays NaN.
  explicit constexpr bf16(float value) {
    const std::uint32_t u = std::bit_cast<std::uint32_t>(value);
    const bool nan = (u & 0x7fffffffu) > 0x7f800000u;
    const std::uint32_t rounded = u + 0x7fffu + ((u >> 16) & 1u);
    bits = static_cast<std::uint16_t>((nan ? u | 0x00400000u : rounded) >> 16);
  }
  constexpr operator float() const { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }

  static constexpr bf16 from_bits(std::uint16_t b) {
    bf16 x;
    x.bits = b;
    return x;
  }
};

/// IEEE half precision: 5 exponent bits, 10 mantissa bits. Storage only; arithmetic uses float.
struct f16 {
  std::uint16_t bits = 0;

  f16() = default;
  /// Rounds to nearest, ties to even. Values that round beyond 65504 become infinity. NaN stays NaN.
  explicit constexpr f16(float value) {
    const std::uint32_t u = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t sign = (u >> 16) & 0x8000u;
    const std::uint32_t magnitude = u & 0x7fffffffu;
    std::uint32_t half;
    if (magnitude > 0x7f800000u) {
      half = 0x7e00u | ((magnitude >> 13) & 0x3ffu);
    } else if (magnitude >= 0x477ff000u) {  // 65520, halfway between 65504 and 65536
      half = 0x7c00u;
    } else if (magnitude >= 0x38800000u) {  // 2^-14, the smallest normal half
      half = (magnitude + 0xfffu + ((magnitude >> 13) & 1u) - 0x38000000u) >> 13;
    } else if (magnitude >= 0x33000000u) {  // 2^-25, half of the smallest subnormal
      const std::uint32_t mantissa = (magnitude & 0x7fffffu) | 0x800000u;
      const int shift = 126 - static_cast<int>(magnitude >> 23);  // 14 .. 24
      const std::uint32_t rest = mantissa & ((1u << shift) - 1u), tie = 1u << (shift - 1);
      half = mantissa >> shift;
      if (rest > tie || (rest == tie && (half & 1u))) ++half;
    } else {
      half = 0;
    }
    bits = static_cast<std::uint16_t>(sign | half);
  }
  constexpr operator float() const {
    const std::uint32_t sign = (bits & 0x8000u) << 16, exponent = (bits >> 10) & 31u, mantissa = bits & 0x3ffu;
    if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
    if (exponent != 0) return std::bit_cast<float>(sign | ((exponent + 112u) << 23) | (mantissa << 13));
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return sign ? -magnitude : magnitude;
  }

  static constexpr f16 from_bits(std::uint16_t b) {
    f16 x;
    x.bits = b;
    return x;
  }
};

static_assert(sizeof(bf16) == 2 && sizeof(f16) == 2);

/// Dtype of a C++ element type; nullopt for other types.
template <class T>
inline constexpr std::optional<Dtype> dtype_of = std::nullopt;
template <>
inline constexpr std::optional<Dtype> dtype_of<bool> = Dtype::boolean;
template <>
inline constexpr std::optional<Dtype> dtype_of<std::uint8_t> = Dtype::u8;
template <>
inline constexpr std::optional<Dtype> dtype_of<std::int8_t> = Dtype::i8;
template <>
inline constexpr std::optional<Dtype> dtype_of<std::int16_t> = Dtype::i16;
template <>
inline constexpr std::optional<Dtype> dtype_of<std::uint16_t> = Dtype::u16;
template <>
inline constexpr std::optional<Dtype> dtype_of<f16> = Dtype::f16;
template <>
inline constexpr std::optional<Dtype> dtype_of<bf16> = Dtype::bf16;
template <>
inline constexpr std::optional<Dtype> dtype_of<std::int32_t> = Dtype::i32;
template <>
inline constexpr std::optional<Dtype> dtype_of<std::uint32_t> = Dtype::u32;
template <>
inline constexpr std::optional<Dtype> dtype_of<float> = Dtype::f32;
template <>
inline constexpr std::optional<Dtype> dtype_of<double> = Dtype::f64;
template <>
inline constexpr std::optional<Dtype> dtype_of<std::int64_t> = Dtype::i64;
template <>
inline constexpr std::optional<Dtype> dtype_of<std::uint64_t> = Dtype::u64;

/// Calls f with a value of the C++ type of F16, BF16, F32 or F64. Returns false for any other type.
template <class F>
constexpr bool with_float_type(Dtype dtype, F&& f) {
  switch (dtype) {
    case Dtype::f16:
      return f(f16{}), true;
    case Dtype::bf16:
      return f(bf16{}), true;
    case Dtype::f32:
      return f(float{}), true;
    case Dtype::f64:
      return f(double{}), true;
    default:
      return false;
  }
}

/// Name in config.json (torch_dtype): "bfloat16", "float16", "float64", or "float32" for any other type.
constexpr const char* torch_dtype_name(Dtype dtype) {
  switch (dtype) {
    case Dtype::bf16:
      return "bfloat16";
    case Dtype::f16:
      return "float16";
    case Dtype::f64:
      return "float64";
    default:
      return "float32";
  }
}

}  // namespace moderngpt2
