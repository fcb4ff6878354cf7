// An accepted config.json or generation_config.json must be equal after writing and reading.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string_view>

#include "moderngpt2/io/config_file.hpp"
#include "moderngpt2/io/generation_config.hpp"

namespace {

using namespace moderngpt2;

/// Parses. Returns nullopt for an Error, which must be one line.
template <class Parse>
auto accepted(Parse parse) -> std::optional<decltype(parse())> {
  try {
    return parse();
  } catch (const Error& error) {
    if (std::strchr(error.what(), '\n')) std::abort();
    return std::nullopt;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto json = accepted([&] { return parse_json(text, "fuzz.json"); });
  if (!json) return 0;

  const auto config = accepted([&] { return parse_config(*json, "fuzz.json"); });
  if (config && config->config.num_labels < 1000) {  // one name is written for each
    const Json written = config_to_json(*config);
    const auto again = accepted([&] { return parse_config(written, "written.json"); });
    if (!again || config_to_json(*again) != written) std::abort();
  }
  const auto generation = accepted([&] { return parse_generation_config(*json, "fuzz.json"); });
  if (generation) {
    const Json written = generation_config_to_json(*generation);
    const auto again = accepted([&] { return parse_generation_config(written, "written.json"); });
    if (!again || generation_config_to_json(*again) != written) std::abort();
  }
  return 0;
}
