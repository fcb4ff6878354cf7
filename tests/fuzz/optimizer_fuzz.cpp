// Files of the optimizer state in a checkpoint: the headers of optimizer.safetensors, or of the files of two ranks if
// there are two parts. Their data is as long as the header says, up to 64 KiB. An optimizer reads them.
#include "json_mutator.hpp"
#include "moderngpt2/backend/cpu.hpp"
#include "moderngpt2/config/presets.hpp"
#include "moderngpt2/model/heads.hpp"
#include "moderngpt2/training/checkpoint/optimizer_files.hpp"

using namespace moderngpt2;

namespace {

using Tiny = CausalLM<any_shape, cpu::Backend, Fp32>;

Tiny& model() {
  static Tiny tiny([] {
    Config config = size_config(1, 4, 1, 8);
    config.n_positions = 4, config.n_inner = 4;
    return config;
  }());
  return tiny;
}

ModelOptimizer<Tiny>& optimizer() {
  static ModelOptimizer<Tiny> adamw(model(), TrainingSettings());
  return adamw;
}

/// Header in the bytes of a safetensors file.
std::string_view header_of(std::string_view file) {
  std::uint64_t length;
  std::memcpy(&length, file.data(), sizeof length);
  return file.substr(sizeof length, length);
}

std::filesystem::path write(const std::string& name, std::string_view header) {
  std::string bytes(sizeof(std::uint64_t), '\0');
  const std::uint64_t length = header.size();
  std::memcpy(bytes.data(), &length, sizeof length);
  bytes += header;
  std::size_t data = 0;  // the highest data offset
  if (const auto json = fuzz::accepted([&] { return parse_json(header, name); }); json && json->is_object())
    for (const auto& [tensor, info] : json->items())
      if (info.is_object() && info.contains("data_offsets") && info["data_offsets"].is_array())
        for (const Json& offset : info["data_offsets"])
          if (offset.is_number_unsigned() && offset.get<std::uint64_t>() <= 1 << 16)
            data = std::max(data, offset.get<std::size_t>());
  return fuzz::file(name, bytes + std::string(data, '\x11'));
}

}  // namespace

void fuzz::seed(Seeds& seeds) {
  const std::filesystem::path path = folder() / "seed.safetensors";
  write_safetensors(path, moderngpt2::detail::state_sources(model(), optimizer()));
  seeds.add(header_of(read(path)));
  write_safetensors(path, moderngpt2::detail::state_sources_of_shard(model(), optimizer()));
  const std::string whole = read(path);
  seeds.add(join({header_of(whole), "{}"}));
  seeds.words({"exp_avg.matrices.0", "exp_avg.vectors.0", "exp_avg_sq.matrices.0", "9223372036854775807", "BF16", "I64",
               "data_offsets", "shape", "dtype", separator});
}

void fuzz::run(std::string_view input) {
  if (input.find(separator) == input.npos) {
    const SafetensorsFile file(write("optimizer.safetensors", input));
    return moderngpt2::detail::load_state_by_name(file, model(), optimizer());
  }
  const auto parts = split(input, 2);
  std::vector<SafetensorsFile> files;
  for (int rank = 0; rank < 2; ++rank)
    files.emplace_back(write(optimizer_file_of_rank(rank, 2), parts[static_cast<std::size_t>(rank)]));
  moderngpt2::detail::load_state_by_range(files, model(), optimizer());
}
