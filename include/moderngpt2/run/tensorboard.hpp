#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <unistd.h>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/core/host_name.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/io/folder.hpp"
#include "moderngpt2/io/json.hpp"

namespace moderngpt2 {

namespace detail {

/// CRC-32C (Castagnoli, reflected polynomial 0x82f63b78), as TFRecord files use it: RFC 3720, appendix B.4.
constexpr std::uint32_t crc32c(std::string_view bytes) {
  std::uint32_t crc = ~std::uint32_t{0};
  for (const char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (crc & 1 ? 0x82f63b78u : 0u);
  }
  return ~crc;
}
static_assert(crc32c("123456789") == 0xe3069283u);

/// Masks a checksum as TFRecord stores it: rotated and offset, since data may contain checksums itself.
constexpr std::uint32_t masked_crc32c(std::string_view bytes) { return std::rotr(crc32c(bytes), 15) + 0xa282ead8u; }

template <class Integer>
std::string little_endian(Integer value) {
  std::string bytes;
  for (std::size_t i = 0; i < sizeof(value); ++i) bytes += static_cast<char>(value >> (8 * i) & 0xff);
  return bytes;
}

/// Returns a TFRecord: length, checksum of the length, data, checksum of the data.
std::string tf_record(std::string_view data);

/// Encodes the fields of a protocol buffer message, in the order in which they are added.
class ProtoMessage {
 public:
  ProtoMessage& integer(unsigned field, std::int64_t value) {
    tag(field, 0);
    varint(static_cast<std::uint64_t>(value));
    return *this;
  }
  ProtoMessage& real64(unsigned field, double value) {
    tag(field, 1);
    bytes_ += little_endian(std::bit_cast<std::uint64_t>(value));
    return *this;
  }
  ProtoMessage& real32(unsigned field, float value) {
    tag(field, 5);
    bytes_ += little_endian(std::bit_cast<std::uint32_t>(value));
    return *this;
  }
  ProtoMessage& text(unsigned field, std::string_view value) {
    tag(field, 2);
    varint(value.size());
    bytes_ += value;
    return *this;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  void tag(unsigned field, unsigned wire_type) { varint(field << 3 | wire_type); }
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
    bytes_ += static_cast<char>(value);
  }
  std::string bytes_;
};

}  // namespace detail

/// Tags and values of a step.
using Scalars = std::vector<std::pair<std::string, double>>;

/// Returns the numbers of a line of metrics.jsonl under the names of the Hugging Face Trainer: "loss" becomes
/// train/loss, "eval_loss" becomes eval/loss.
Scalars tensorboard_scalars(const Json& line);

/// Writes a log for TensorBoard: a folder of event files, one per process. Messages are Event and Summary of
/// TensorFlow's event.proto and summary.proto. Threads: one at a time.
class TensorBoardLog {
 public:
  /// Starts a new file in `folder`. TensorBoard then discards the steps after `step` of older files there. `step`: step
  /// of the checkpoint to resume from.
  TensorBoardLog(const std::filesystem::path& folder, std::int64_t step);

  const std::filesystem::path& path() const { return file_->path(); }

  /// Adds the values of a step. Throws Error if the file cannot be written.
  void add(std::int64_t step, const Scalars& scalars);

 private:
  static constexpr unsigned event_wall_time = 1, event_step = 2;

  static double now() {
    return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  }
  static detail::ProtoMessage event() { return detail::ProtoMessage().real64(event_wall_time, now()); }

  /// Returns a file name that sorts after all others of the folder, since readers open files in the order of their
  /// names, which begin with the second of their creation.
  static std::string file_name(const std::filesystem::path& folder);

  void append(const detail::ProtoMessage& message) { file_->add(detail::tf_record(message.bytes())); }

  std::optional<AppendFile> file_;
};

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2::detail {

MODERNGPT2_INLINE std::string tf_record(std::string_view data) {
  const std::string length = little_endian(std::uint64_t{data.size()});
  return length + little_endian(masked_crc32c(length)) + std::string(data) + little_endian(masked_crc32c(data));
}

}  // namespace moderngpt2::detail

namespace moderngpt2 {

MODERNGPT2_INLINE Scalars tensorboard_scalars(const Json& line) {
  Scalars scalars;
  for (const auto& [key, value] : line.items()) {
    if (!value.is_number() || key == "step") continue;
    const bool eval = key.starts_with("eval_");
    scalars.emplace_back(eval ? "eval/" + key.substr(5) : "train/" + key, value.template get<double>());
  }
  return scalars;
}

}  // namespace moderngpt2

namespace moderngpt2 {

MODERNGPT2_INLINE TensorBoardLog::TensorBoardLog(const std::filesystem::path& folder, std::int64_t step) {
  make_folder(folder);
  file_.emplace(folder / file_name(folder), AppendFile::Start::new_file);
  constexpr unsigned file_version = 3, session_log = 7, status = 1, start = 1;
  append(event().text(file_version, "brain.Event:2"));
  append(
      event().integer(event_step, step + 1).text(session_log, detail::ProtoMessage().integer(status, start).bytes()));
}

MODERNGPT2_INLINE void TensorBoardLog::add(std::int64_t step, const Scalars& scalars) {
  constexpr unsigned summary = 5, summary_value = 1, tag = 1, simple_value = 2;
  detail::ProtoMessage values;
  for (const auto& [name, value] : scalars)
    values.text(summary_value,
                detail::ProtoMessage().text(tag, name).real32(simple_value, static_cast<float>(value)).bytes());
  append(event().integer(event_step, step).text(summary, values.bytes()));
}

MODERNGPT2_INLINE std::string TensorBoardLog::file_name(const std::filesystem::path& folder) {
  constexpr std::string_view prefix = "events.out.tfevents.";
  auto second = static_cast<std::int64_t>(now());
  for (const std::filesystem::path& path : folder_entries(folder)) {
    const std::string name = path.filename().string();
    std::int64_t there = 0;
    if (name.starts_with(prefix)) std::from_chars(name.data() + prefix.size(), name.data() + name.size(), there);
    if (there < 9'999'999'999) second = std::max(second, there + 1);
  }
  return fmt::format("{}{:010}.{}.{}", prefix, second, host_name(), ::getpid());
}

}  // namespace moderngpt2

#endif
