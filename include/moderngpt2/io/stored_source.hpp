#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "moderngpt2/core/dtype.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/checkpoint_files.hpp"
#include "moderngpt2/io/safetensors_writer.hpp"

namespace moderngpt2 {

/// Source of the bytes of a tensor of a checkpoint, which must live until they are read. F64, F32, F16 and BF16 keep
/// their type; throws an Error for other types.
TensorSource stored_source(const CheckpointTensors& file, const TensorInfo& info, std::string name);

/// Returns a source of the elements of `source` in another floating-point type (F64, F32, F16, BF16), rounded to
/// nearest, ties to even, or `source` itself if it has that type. A finite value that overflows `dtype` is an Error
/// that names the tensor.
TensorSource converted_source(TensorSource source, Dtype dtype);

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

template <class From, class To>
TensorSource converted_source(TensorSource source) {
  TensorSource out{source.name, *dtype_of<To>, source.shape, {}};
  auto buffer = std::make_shared<std::vector<std::byte>>();
  out.fill = [source = std::move(source), buffer](std::uint64_t offset, std::span<std::byte> bytes) {
    const std::size_t count = bytes.size() / sizeof(To);
    buffer->resize(count * sizeof(From));
    source.fill(offset / sizeof(To) * sizeof(From), *buffer);
    for (std::size_t i = 0; i < count; ++i) {
      From before;
      std::memcpy(&before, buffer->data() + i * sizeof(From), sizeof(From));
      To value;
      if constexpr (sizeof(To) < 4 || std::is_same_v<To, float>)
        value = To(static_cast<float>(before));
      else
        value = static_cast<To>(before);
      if (std::isfinite(static_cast<double>(before)) && !std::isfinite(static_cast<double>(value)))
        throw Error("tensor {}: the value {} at index {} is too large for {}. Choose a wider type.",
                    excerpt(source.name), static_cast<double>(before), offset / sizeof(To) + i,
                    dtype_name(*dtype_of<To>));
      std::memcpy(bytes.data() + i * sizeof(To), &value, sizeof(To));
    }
  };
  return out;
}

/// Calls f with a value of the C++ type of a floating-point dtype. Throws Error for another type of a tensor.
template <class F>
void with_float_type_of(const std::string& tensor, Dtype dtype, F&& f) {
  if (!with_float_type(dtype, f))
    throw Error("tensor {}: the type is {}, F64, F32, F16 and BF16 can be converted", excerpt(tensor),
                dtype_name(dtype));
}

}  // namespace moderngpt2::detail

namespace moderngpt2 {

MODERNGPT2_INLINE TensorSource stored_source(const CheckpointTensors& file, const TensorInfo& info, std::string name) {
  detail::with_float_type_of(info.name, info.dtype, [](auto) {});
  return {std::move(name), info.dtype, info.shape,
          [&file, &info](std::uint64_t offset, std::span<std::byte> bytes) { file.read(info, bytes, offset); }};
}

MODERNGPT2_INLINE TensorSource converted_source(TensorSource source, Dtype dtype) {
  if (source.dtype == dtype) return source;
  const std::string name = source.name;
  TensorSource out;
  detail::with_float_type_of(name, source.dtype, [&]<class From>(From) {
    detail::with_float_type_of(name, dtype,
                               [&]<class To>(To) { out = detail::converted_source<From, To>(std::move(source)); });
  });
  return out;
}

}  // namespace moderngpt2

#endif
