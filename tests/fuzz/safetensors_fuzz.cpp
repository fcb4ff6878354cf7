// The input is a safetensors header; its last two bytes are the length of the data. Accepted tensors must lie inside
// the data and cover it.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "moderngpt2/io/safetensors_header.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace moderngpt2;
  if (size < 2) return 0;
  const std::uint64_t data_bytes = data[size - 1] * 256u + data[size - 2];
  const std::string_view text(reinterpret_cast<const char*>(data), size - 2);
  try {
    const SafetensorsHeader header = parse_safetensors_header(text, data_bytes, "fuzz");
    std::uint64_t covered = 0;
    for (const TensorInfo& info : header.tensors) {
      if (info.end > data_bytes || info.begin > info.end || info.count() < 0) std::abort();
      if (static_cast<std::uint64_t>(info.count()) * static_cast<std::uint64_t>(dtype_bits(info.dtype)) !=
          8 * info.bytes())
        std::abort();
      covered += info.bytes();
    }
    if (covered != data_bytes) std::abort();
  } catch (const Error& error) {
    if (std::strchr(error.what(), '\n')) std::abort();
  }
  return 0;
}
