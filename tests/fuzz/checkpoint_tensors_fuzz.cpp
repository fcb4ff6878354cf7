// Folder of weights: model.safetensors.index.json and the headers of two shards with 64 bytes of data each. Every
// tensor is read as every type.
#include "json_mutator.hpp"
#include "moderngpt2/io/checkpoint_files.hpp"

using namespace moderngpt2;

namespace {

std::string shard(std::string_view header) {
  std::string bytes(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) bytes[i] = static_cast<char>(header.size() >> (8 * i));
  bytes += header;
  for (int i = 0; i < 64; ++i) bytes += static_cast<char>(i * 37);
  return bytes;
}

template <class T>
void read_as(const CheckpointTensors& tensors, const TensorInfo& info) {
  (void)fuzz::accepted([&] { return tensors.read_vector<T>(info.name); });
}

}  // namespace

void fuzz::seed(Seeds& seeds) {
  seeds.add(join({R"({"metadata":{"total_size":128},"weight_map":{"x":"a.safetensors","y":"b.safetensors"}})",
                  R"({"x":{"dtype":"F32","shape":[4,4],"data_offsets":[0,64]}})",
                  R"({"__metadata__":{"format":"pt"},"y":{"dtype":"I64","shape":[8],"data_offsets":[0,64]}})"}));
  seeds.words({"a.safetensors", "b.safetensors", "../a.safetensors", "module.x", "_orig_mod.x", "a.attn.bias",
               "position_ids", "embed_tokens.weight", "wte.weight", "rotary_emb.inv_freq", "dtype", "BF16", "F16", "U8",
               "F8_E5M2"});
}

void fuzz::run(std::string_view input) {
  const auto parts = split(input, 3);
  const std::filesystem::path index = file("weights/model.safetensors.index.json", parts[0]);
  file("weights/a.safetensors", shard(parts[1]));
  file("weights/b.safetensors", shard(parts[2]));
  const CheckpointTensors tensors(index.parent_path());
  for (const TensorInfo& info : tensors.tensors()) {
    read_as<float>(tensors, info);
    read_as<double>(tensors, info);
    read_as<bf16>(tensors, info);
    read_as<f16>(tensors, info);
    read_as<std::int8_t>(tensors, info);
    read_as<std::uint64_t>(tensors, info);
  }
}
