#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#include "moderngpt2/core/dtype.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/io/safetensors_header.hpp"

namespace moderngpt2 {

/// Element types that a tensor can be read as.
template <class T>
concept TensorElement = std::same_as<T, float> || std::same_as<T, double> || std::same_as<T, bf16> ||
                        std::same_as<T, f16> || (std::integral<T> && !std::same_as<T, bool>);

namespace detail {

static_assert(std::endian::native == std::endian::little, "safetensors files are little-endian");

template <class From, class To>
void convert_elements(const std::byte* from, To* to, std::size_t count, const TensorInfo& info,
                      const std::string& where) {
  for (std::size_t i = 0; i < count; ++i) {
    From value;
    std::memcpy(&value, from + i * sizeof(From), sizeof(From));
    if constexpr (std::integral<To>) {
      if (!std::in_range<To>(value))
        throw Error("{}: tensor {} holds {}, which a {}-bit integer cannot", where, excerpt(info.name), value,
                    8 * sizeof(To));
      to[i] = static_cast<To>(value);
    } else if constexpr (std::same_as<To, float> || std::same_as<To, double>) {
      to[i] = static_cast<To>(value);
    } else {
      to[i] = To(static_cast<float>(value));
    }
  }
}

/// Calls f with a value of the C++ type of `dtype` if that type converts to To: floating types to floating types,
/// integers (and BOOL, as bytes) to integers. Returns false for any other pair.
template <TensorElement To, class F>
bool with_convertible_type(Dtype dtype, F f) {
  if constexpr (std::integral<To>) {
    switch (dtype) {
      case Dtype::boolean:
      case Dtype::u8:
        return f(std::uint8_t{}), true;
      case Dtype::i8:
        return f(std::int8_t{}), true;
      case Dtype::i16:
        return f(std::int16_t{}), true;
      case Dtype::u16:
        return f(std::uint16_t{}), true;
      case Dtype::i32:
        return f(std::int32_t{}), true;
      case Dtype::u32:
        return f(std::uint32_t{}), true;
      case Dtype::i64:
        return f(std::int64_t{}), true;
      case Dtype::u64:
        return f(std::uint64_t{}), true;
      default:
        return false;
    }
  } else {
    return with_float_type(dtype, f);
  }
}

}  // namespace detail

/// Safetensors file. The constructor checks the header; tensors are read on demand. Reading is thread-safe. The file is
/// not mapped: one that is truncated later is an Error.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(std::filesystem::path path);
  SafetensorsFile(SafetensorsFile&&) = default;
  SafetensorsFile& operator=(SafetensorsFile&&) = default;

  const std::filesystem::path& path() const { return file_.path(); }
  /// All tensors, in the order of their bytes.
  const std::vector<TensorInfo>& tensors() const { return header_.tensors; }
  const std::map<std::string, std::string>& metadata() const { return header_.metadata; }

  /// Returns the tensor with a name, or nullptr.
  const TensorInfo* find(std::string_view name) const;
  /// Returns the tensor with a name. Throws Error if it does not exist.
  const TensorInfo& at(std::string_view name) const;

  /// Reads stored bytes, beginning at byte `offset` of the tensor.
  void read(const TensorInfo& info, std::span<std::byte> out, std::uint64_t offset = 0) const;

  /// Reads `count` elements from index `first` as T, without a second copy of the tensor: F16, BF16, F32 and F64 as any
  /// floating type, integers and BOOL as any integer type that can represent their values. Throws Error for other
  /// pairs.
  template <TensorElement T>
  void read_as(const TensorInfo& info, T* out, std::int64_t first, std::int64_t count) const {
    if (first < 0 || count < 0 || first > info.count() || count > info.count() - first)
      throw Error("{}: tensor {} has {} elements, {} were asked for at {}", path().string(), excerpt(info.name),
                  info.count(), count, first);
    const bool known = detail::with_convertible_type<T>(info.dtype, [&]<class From>(From) {
      if constexpr (std::same_as<From, T>) {
        const std::span<T> all(out, static_cast<std::size_t>(count));
        read(info, std::as_writable_bytes(all), static_cast<std::uint64_t>(first) * sizeof(T));
      } else {
        std::array<std::byte, 1 << 16> chunk;
        constexpr std::size_t at_once = chunk.size() / sizeof(From);
        for (std::int64_t done = 0; done < count;) {
          const std::size_t n = std::min(at_once, static_cast<std::size_t>(count - done));
          read(info, std::span(chunk).first(n * sizeof(From)), static_cast<std::uint64_t>(first + done) * sizeof(From));
          detail::convert_elements<From>(chunk.data(), out + done, n, info, path().string());
          done += static_cast<std::int64_t>(n);
        }
      }
    });
    if (!known)
      throw Error("{}: tensor {} is {}, {} are needed", path().string(), excerpt(info.name), dtype_name(info.dtype),
                  std::integral<T> ? "integers" : "F64, F32, F16 or BF16");
  }
  template <TensorElement T>
  void read_as(const TensorInfo& info, T* out) const {
    read_as(info, out, 0, info.count());
  }

  /// Reads a whole tensor, converted to T.
  template <TensorElement T>
  std::vector<T> read_vector(std::string_view name) const {
    const TensorInfo& info = at(name);
    std::vector<T> out(static_cast<std::size_t>(info.count()));
    read_as(info, out.data());
    return out;
  }

 private:
  InputFile file_;
  std::uint64_t data_begin_ = 0;
  SafetensorsHeader header_;
  std::unordered_map<std::string, std::size_t> index_;
};

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2 {

MODERNGPT2_INLINE SafetensorsFile::SafetensorsFile(std::filesystem::path path) : file_(std::move(path)) {
  const std::string where = file_.path().string();
  if (file_.size() < 8)
    throw Error("{} has {} bytes, a safetensors file begins with 8 of header length", where, file_.size());
  std::array<unsigned char, 8> length_bytes;
  file_.read(0, std::as_writable_bytes(std::span(length_bytes)));
  const auto length = std::bit_cast<std::uint64_t>(length_bytes);
  if (length > max_safetensors_header)
    throw Error("{}: a header of {} bytes, the limit is {}: not a safetensors file, or a damaged one", where, length,
                max_safetensors_header);
  if (length > file_.size() - 8)
    throw Error("{}: a header of {} bytes in a file of {}: truncated", where, length, file_.size());
  std::string text(static_cast<std::size_t>(length), '\0');
  file_.read(8, std::as_writable_bytes(std::span(text)));
  data_begin_ = 8 + length;
  header_ = parse_safetensors_header(text, file_.size() - data_begin_, where);
  for (std::size_t i = 0; i < header_.tensors.size(); ++i) index_.emplace(header_.tensors[i].name, i);
}

MODERNGPT2_INLINE const TensorInfo* SafetensorsFile::find(std::string_view name) const {
  const auto found = index_.find(std::string(name));
  return found == index_.end() ? nullptr : &header_.tensors[found->second];
}

MODERNGPT2_INLINE const TensorInfo& SafetensorsFile::at(std::string_view name) const {
  if (const TensorInfo* info = find(name)) return *info;
  throw Error("{}: no tensor {}", path().string(), excerpt(name));
}

MODERNGPT2_INLINE void SafetensorsFile::read(const TensorInfo& info, std::span<std::byte> out,
                                             std::uint64_t offset) const {
  if (offset > info.bytes() || out.size() > info.bytes() - offset)
    throw Error("{}: tensor {} has {} bytes, {} were asked for at {}", path().string(), excerpt(info.name),
                info.bytes(), out.size(), offset);
  file_.read(data_begin_ + info.begin + offset, out);
}

}  // namespace moderngpt2

#endif
