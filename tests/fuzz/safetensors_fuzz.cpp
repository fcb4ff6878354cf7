// Header of a safetensors file; the last two bytes of an input are the length of the data. Accepted tensors must lie
// inside the data and cover it.
#include "fuzz.hpp"
#include "moderngpt2/io/safetensors_header.hpp"

using namespace moderngpt2;

void fuzz::seed(Seeds& seeds) {
  using namespace std::string_view_literals;
  seeds.add(
      R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"y":{"dtype":"U8","shape":[],"data_offsets":[8,9]}})"
      "\x09\x00"sv);
  for (const std::string& text : seeds.data("golden", "model.safetensors", 4000, 8)) seeds.add(text);
  seeds.words({"__metadata__", "dtype", "shape", "data_offsets", "F8_E4M3", "F4", "BF16", "BOOL", "I64", "C64",
               "9223372036854775807", "18446744073709551615"});
}

void fuzz::run(std::string_view input) {
  if (input.size() < 2) return;
  const auto byte = [&](std::size_t from_end) { return static_cast<unsigned char>(input[input.size() - from_end]); };
  const std::uint64_t data_bytes = byte(1) * 256u + byte(2);
  input.remove_suffix(2);
  const SafetensorsHeader header = parse_safetensors_header(input, data_bytes, "fuzz");
  std::uint64_t covered = 0;
  for (const TensorInfo& info : header.tensors) {
    if (info.end > data_bytes || info.begin > info.end || info.count() < 0) fail("a tensor outside the data");
    if (static_cast<std::uint64_t>(info.count()) * static_cast<std::uint64_t>(dtype_bits(info.dtype)) !=
        8 * info.bytes())
      fail("a tensor of another size");
    covered += info.bytes();
  }
  if (covered != data_bytes) fail("tensors do not cover the data");
}
