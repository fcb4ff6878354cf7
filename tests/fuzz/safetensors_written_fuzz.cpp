// Tensors with names, shapes and bytes from the input must be equal after writing and reading.
#include <fuzzer/FuzzedDataProvider.h>

#include "fuzz.hpp"
#include "moderngpt2/io/safetensors.hpp"

using namespace moderngpt2;

void fuzz::seed(Seeds& seeds) {
  seeds.add(std::string("\x02\x01\x02\x05weight\x01\x00\x03vbias", 17) + std::string(64, '\x3f'));
}

void fuzz::run(std::string_view input) {
  FuzzedDataProvider data(reinterpret_cast<const std::uint8_t*>(input.data()), input.size());
  const std::vector<Dtype> types{Dtype::f32, Dtype::bf16, Dtype::u8, Dtype::i64, Dtype::boolean};
  std::vector<std::string> bytes;
  std::vector<TensorSource> sources;
  for (int n = data.ConsumeIntegralInRange<int>(0, 4); n > 0; --n) {
    TensorSource tensor{
        data.ConsumeRandomLengthString(20), types[data.ConsumeIntegralInRange<std::size_t>(0, 4)], {}, {}};
    std::size_t size = static_cast<std::size_t>(dtype_bits(tensor.dtype)) / 8;
    for (int rank = data.ConsumeIntegralInRange<int>(0, 3); rank > 0; --rank) {
      tensor.shape.push_back(data.ConsumeIntegralInRange<std::int64_t>(0, 5));
      size *= static_cast<std::size_t>(tensor.shape.back());
    }
    bytes.push_back(data.ConsumeBytesAsString(size));
    bytes.back().resize(size);
    sources.push_back(std::move(tensor));
  }
  for (std::size_t i = 0; i < sources.size(); ++i)
    sources[i].fill = [&bytes, i](std::uint64_t offset, std::span<std::byte> out) {
      if (!out.empty()) std::memcpy(out.data(), bytes[i].data() + offset, out.size());
    };
  const std::filesystem::path path = folder() / "written.safetensors";
  write_safetensors(path, sources);
  const auto file = accepted([&] { return SafetensorsFile(path); });
  if (!file || file->tensors().size() != sources.size()) fail("a written file is refused");
  for (std::size_t i = 0; i < sources.size(); ++i) {
    const TensorInfo& info = file->at(sources[i].name);
    std::string read(bytes[i].size(), '\0');
    file->read(info, std::as_writable_bytes(std::span(read)));
    if (info.shape != sources[i].shape || info.dtype != sources[i].dtype || read != bytes[i]) fail("another tensor");
  }
}
