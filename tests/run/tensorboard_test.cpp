#include <bit>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "io/expect_error.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/run/report.hpp"
#include "support/temporary_folder.hpp"

using namespace moderngpt2;
namespace fs = std::filesystem;

namespace {

std::uint64_t little_endian_at(std::string_view bytes, std::size_t at, int size) {
  std::uint64_t value = 0;
  for (int i = 0; i < size; ++i)
    value |= std::uint64_t{static_cast<unsigned char>(bytes.at(at + std::size_t(i)))} << (8 * i);
  return value;
}

/// The records of a TFRecord file; both checksums of each must hold.
std::vector<std::string> records(const fs::path& path) {
  const std::string text = read_file(path);
  std::vector<std::string> found;
  for (std::size_t at = 0; at < text.size();) {
    const auto length = std::size_t(little_endian_at(text, at, 8));
    CHECK(little_endian_at(text, at + 8, 4) == detail::masked_crc32c(std::string_view(text).substr(at, 8)));
    found.push_back(text.substr(at + 12, length));
    CHECK(little_endian_at(text, at + 12 + length, 4) == detail::masked_crc32c(found.back()));
    at += 16 + length;
  }
  return found;
}

/// The fields of a protocol buffer message by number: integers and floats as their bits, the rest as bytes.
struct Message {
  std::map<unsigned, std::uint64_t> numbers;
  std::multimap<unsigned, std::string> texts;

  explicit Message(std::string_view bytes) {
    std::size_t at = 0;
    const auto varint = [&] {
      std::uint64_t value = 0;
      for (int shift = 0;; shift += 7) {
        const auto byte = static_cast<unsigned char>(bytes.at(at++));
        value |= std::uint64_t{byte & 0x7fu} << shift;
        if (byte < 0x80) return value;
      }
    };
    while (at < bytes.size()) {
      const std::uint64_t key = varint();
      const auto field = unsigned(key >> 3), type = unsigned(key & 7);
      if (type == 0) {
        numbers[field] = varint();
      } else if (type == 2) {
        const auto length = std::size_t(varint());
        texts.emplace(field, std::string(bytes.substr(at, length)));
        at += length;
      } else {
        numbers[field] = little_endian_at(bytes, at, type == 1 ? 8 : 4);
        at += type == 1 ? 8 : 4;
      }
    }
  }
};

std::map<std::string, float> scalars(const Message& event) {
  std::map<std::string, float> found;
  const Message summary(event.texts.find(5)->second);
  for (const auto& [field, bytes] : summary.texts) {
    const Message value(bytes);
    found[value.texts.find(1)->second] = std::bit_cast<float>(static_cast<std::uint32_t>(value.numbers.at(2)));
  }
  return found;
}

}  // namespace

TEST_CASE("an event file holds its version, where it goes on, and scalars under Hugging Face's names") {
  test::TemporaryFolder temporary;
  const Json line = parse_json(R"({"step": 300, "loss": 1.5, "learning_rate": 1e-4, "epoch": 0.25, "grad_norm": null,
                                   "note": "x"})",
                               "line");
  fs::path first, second;
  {
    TensorBoardLog log(temporary / "runs" / "a", 0);
    log.add(300, tensorboard_scalars(line));
    log.add(301, {{"train/loss", std::numeric_limits<double>::quiet_NaN()}});
    first = log.path();
  }
  const std::vector<std::string> found = records(first);
  REQUIRE(found.size() == 4);
  CHECK(Message(found[0]).texts.find(3)->second == "brain.Event:2");
  CHECK(Message(found[1]).numbers.at(2) == 1);
  CHECK(Message(Message(found[1]).texts.find(7)->second).numbers.at(1) == 1);
  const Message event(found[2]);
  CHECK(event.numbers.at(2) == 300);
  CHECK(std::bit_cast<double>(event.numbers.at(1)) > 1e9);
  const std::map<std::string, float> expected{
      {"train/loss", 1.5f}, {"train/learning_rate", 1e-4f}, {"train/epoch", 0.25f}};
  CHECK(scalars(event) == expected);
  CHECK(std::isnan(scalars(Message(found[3])).at("train/loss")));
  CHECK(tensorboard_scalars(parse_json(R"({"step": 1, "eval_loss": 2})", "l")) == Scalars{{"eval/loss", 2.0}});

  // A resumed run: a file that comes later in the order of names, though it is of the same second.
  {
    TensorBoardLog log(temporary / "runs" / "a", 300);
    second = log.path();
  }
  CHECK(second > first);
  CHECK(Message(records(second).at(1)).numbers.at(2) == 301);
  CHECK(records(first).size() == 4);
  write_file(temporary / "file", "x");
  CHECK_ERROR(TensorBoardLog(temporary / "file" / "runs", 0), "file");
}

TEST_CASE("the name of a run, and the command that sends its log to wandb") {
  test::TemporaryFolder temporary;
  ReportSettings settings{.to = ReportTo::all, .entity = "my team"};
  CHECK(report_name(settings, "small") == "moderngpt2-small");
  settings.run_name = "first";
  CHECK(report_name(settings, "small") == "first");
  settings.run_name = "../first";
  CHECK_ERROR(report_name(settings, "small"), "--wandb_run_name");
  std::vector<std::string> said;
  const auto say = [&](const std::string& text) { said.push_back(text); };
  TensorBoardReport report(settings, temporary.path(), "first", 0, say);
  CHECK(report.sync_command() == "wandb sync --sync-tensorboard --project moderngpt2 --entity 'my team' --id first " +
                                     (temporary / "runs" / "first").string());
  REQUIRE(said.size() == 2);
  CHECK(test::contains(said[1], "wandb sync"));
  report.add(Json{{"step", 3}, {"loss", 2.5}});
  const fs::path file = fs::directory_iterator(temporary / "runs" / "first")->path();
  CHECK(records(file).size() == 3);
  CHECK(detail::shell_word("it's") == "'it'\\''s'");
}
