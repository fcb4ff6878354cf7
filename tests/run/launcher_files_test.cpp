#include <filesystem>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/io/json.hpp"
#include "moderngpt2/run/accelerate_config.hpp"
#include "moderngpt2/run/deepspeed_config.hpp"
#include "moderngpt2/run/deepspeed_settings.hpp"

using namespace moderngpt2;

// tests/data/launchers has configs in the style of public ones: those that `accelerate config` writes for its kinds of
// launch, and DeepSpeed's features. messages.json has what two ranks print for each. A field that requests something
// changes a setting or is named.
TEST_CASE("configs of Accelerate and DeepSpeed: each field that requests something is honoured or named") {
  const auto folder = std::filesystem::path(MODERNGPT2_TEST_DATA) / "launchers";
  const Json messages = read_json_file(folder / "messages.json");
  CHECK(messages.size() == 30);
  for (const auto& [name, expected] : messages.items()) {
    CAPTURE(name);
    TrainingSettings settings;
    const TypedFlags flags{[](const std::string&) { return false; }, {}};
    std::vector<std::string> lines;
    LauncherEffect effect;
    if (name.ends_with(".yaml")) {
      AccelerateConfig config = read_accelerate_config(folder / name);
      config.where = name;
      if (const auto file = config.deepspeed_file()) lines.push_back("DeepSpeed config " + file->string());
      effect = apply_accelerate_config(config, 2, settings, flags, {});
    } else {
      DeepSpeedConfig config = read_deepspeed_config(folder / name);
      config.where = name;
      effect = apply_deepspeed_config(config, 2, settings, flags);
    }
    if (effect.precision) lines.push_back("precision " + *effect.precision);
    lines.insert(lines.end(), effect.lines.begin(), effect.lines.end());
    CHECK(fmt::format("{}", fmt::join(lines, "\n")) ==
          fmt::format("{}", fmt::join(expected.get<std::vector<std::string>>(), "\n")));
  }
}
