#pragma once

// Frame of a fuzz target, for libFuzzer. A target is one file NAME_fuzz.cpp that defines fuzz::seed() and fuzz::run();
// run.sh builds and runs it. An input may be accepted or refused with an Error of one line. Everything else is a
// finding: any other exception, a report of a sanitizer, fuzz::fail(), more than five seconds, too much memory.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <unistd.h>
#include <utility>
#include <vector>

#include "moderngpt2/core/error.hpp"

namespace fuzz {

class Seeds;

/// Adds the seeds of the target.
void seed(Seeds& seeds);

/// Reads an input. Runs many times in one process.
void run(std::string_view input);

/// Ends the process: the input is a finding.
[[noreturn]] inline void fail(const std::string& what) {
  std::fprintf(stderr, "finding: %s\n", what.c_str());
  std::abort();
}

inline std::string read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Folder for the files of this process, in memory if run.sh started it.
inline const std::filesystem::path& folder() {
  static const std::filesystem::path path = [] {
    const char* parent = std::getenv("FUZZ_FOLDER");
    std::filesystem::path made = std::filesystem::path(parent ? parent : "/dev/shm") / std::to_string(::getpid());
    std::filesystem::create_directories(made);
    return made;
  }();
  return path;
}

/// Writes a file into folder(), in place of an earlier one of the name, and returns its path.
inline std::filesystem::path file(const std::string& name, std::string_view bytes) {
  const std::filesystem::path path = folder() / name;
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  return path;
}

/// Line between the parts of an input that stands for several files.
inline constexpr std::string_view separator = "\n=====\n";

/// Splits an input into `count` parts. Missing parts are empty.
inline std::vector<std::string_view> split(std::string_view input, std::size_t count) {
  std::vector<std::string_view> parts;
  while (parts.size() + 1 < count) {
    const std::size_t end = std::min(input.find(separator), input.size());
    parts.push_back(input.substr(0, end));
    input.remove_prefix(std::min(end + separator.size(), input.size()));
  }
  parts.push_back(input);
  return parts;
}

inline std::string join(std::initializer_list<std::string_view> parts) {
  std::string out;
  for (const std::string_view& part : parts) {
    if (&part != parts.begin()) out += separator;
    out += part;
  }
  return out;
}

/// Fails unless the message is one line of at most 10,000 bytes without control characters.
inline void check_message(std::string_view message) {
  if (message.size() > 10000) fail("an error of " + std::to_string(message.size()) + " bytes");
  for (std::size_t i = 0; i < message.size(); ++i) {
    const auto byte = static_cast<unsigned char>(message[i]), next = static_cast<unsigned char>(message.data()[i + 1]);
    if (byte < 0x20 || byte == 0x7f || (byte == 0xc2 && next >= 0x80 && next < 0xa0))
      fail("a control character in an error: " + std::string(message));
  }
}

/// Result of parse(); nullopt for an Error.
template <class Parse>
auto accepted(Parse parse) -> std::optional<decltype(parse())> {
  try {
    return parse();
  } catch (const moderngpt2::Error& error) {
    check_message(error.what());
    return std::nullopt;
  }
}

/// Seed corpus and dictionary of a target, written to files.
class Seeds {
 public:
  explicit Seeds(std::filesystem::path folder) : folder_(std::move(folder)) {}

  void add(std::string_view bytes) { write("seed-" + std::to_string(number_++), bytes); }

  /// Files of tests/data/FOLDER/*/NAME, at most `most` bytes of each from byte `skip` on.
  std::vector<std::string> data(const std::string& folder, const std::string& name, std::size_t most = 1 << 16,
                                std::size_t skip = 0) const {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(std::string(MODERNGPT2_TEST_DATA) + "/" + folder))
      if (std::filesystem::exists(entry.path() / name)) {
        const std::string bytes = read(entry.path() / name);
        found.push_back(bytes.substr(std::min(skip, bytes.size()), most));
      }
    if (found.empty()) fail("no seed " + folder + "/*/" + name);
    return found;
  }

  /// Words for mutations.
  void words(std::initializer_list<std::string_view> list) {
    for (const std::string_view word : list) {
      dictionary_ += '"';
      for (const char c : word) {
        char text[8];
        std::snprintf(text, sizeof text, "\\x%02x", static_cast<unsigned>(static_cast<unsigned char>(c)));
        dictionary_ += text;
      }
      dictionary_ += "\"\n";
    }
    write("../dictionary", dictionary_);
  }

 private:
  void write(const std::string& name, std::string_view bytes) const {
    std::ofstream file(folder_ / name, std::ios::binary);
    if (!file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()))) fail("cannot write " + name);
  }

  std::filesystem::path folder_;
  std::string dictionary_;
  std::size_t number_ = 0;
};

}  // namespace fuzz

/// With --seeds=FOLDER, writes the seeds and exits.
extern "C" int LLVMFuzzerInitialize(int* count, char*** arguments) {
  for (int i = 1; i < *count; ++i)
    if (const std::string_view argument = (*arguments)[i]; argument.starts_with("--seeds=")) {
      fuzz::Seeds seeds{std::filesystem::path(argument.substr(8))};
      fuzz::seed(seeds);
      std::exit(0);
    }
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    fuzz::run({reinterpret_cast<const char*>(data), size});
  } catch (const moderngpt2::Error& error) {
    fuzz::check_message(error.what());
  }
  return 0;
}
