#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "expect_error.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/io/gguf/reader.hpp"
#include "support/temporary_folder.hpp"

namespace gguf_reader_test {

using namespace moderngpt2;
using moderngpt2::test::TemporaryFolder;
namespace fs = std::filesystem;

/// Bytes of a file, in pieces to vary.
struct Bytes {
  std::string text;

  template <class T>
  Bytes& number(T value) {
    text += GgufValue::bytes_of(&value, 1);
    return *this;
  }
  Bytes& string(const std::string& value) {
    number(std::uint64_t(value.size()));
    text += value;
    return *this;
  }
  static Bytes header(std::uint32_t version, std::uint64_t tensors, std::uint64_t keys) {
    Bytes bytes{"GGUF"};
    return bytes.number(version).number(tensors).number(keys);
  }
  Bytes& key(const std::string& name, GgufType type) { return string(name).number(std::uint32_t(type)); }
  Bytes& tensor(const std::string& name, std::vector<std::uint64_t> dims, std::uint32_t type, std::uint64_t offset) {
    string(name).number(std::uint32_t(dims.size()));
    for (const std::uint64_t n : dims) number(n);
    return number(type).number(offset);
  }
  Bytes& padding(std::size_t bytes) {
    text.append(bytes, '\0');
    return *this;
  }
};

TEST_CASE("files from strangers: each fault is one clear error") {
  const TemporaryFolder folder;
  const fs::path path = folder / "x.gguf";
  using Type = GgufType;
  const auto refused = [&](const Bytes& bytes, const char* part) {
    write_file(path, bytes.text);
    CHECK_ERROR(GgufFile(path), "x.gguf", part);
  };
  refused({"GGU"}, "not a GGUF file");
  refused({"GGML1234"}, "not a GGUF file");
  refused(Bytes::header(1, 0, 0), "version 1");
  refused(Bytes::header(4, 0, 0), "version 4");
  refused(Bytes::header(0x03000000, 0, 0), "big-endian");
  refused(Bytes::header(3, 0, std::uint64_t(1) << 60), "keys do not fit");
  refused(Bytes::header(3, std::uint64_t(1) << 60, 0), "tensors do not fit");
  refused(Bytes::header(3, 0, 1).string(std::string(20, 'x')).padding(0), "truncated");
  refused(Bytes::header(3, 0, 1).key("a", Type(13)).number(std::uint64_t(0)), "unknown type 13");
  refused(Bytes::header(3, 0, 1).string("").number(0u).number(0u).padding(9), "a key of 0 bytes");
  const auto array = [](Type type, std::uint64_t count) {
    return Bytes::header(3, 0, 1).key("a", Type::array).number(std::uint32_t(type)).number(count);
  };
  refused(array(Type::string, std::uint64_t(1) << 60), "strings");
  refused(array(Type::u64, std::uint64_t(1) << 61), "more than the file can hold");
  refused(array(Type::array, 1), "array of arrays");
  refused(array(Type::boolean, 1).number(std::uint8_t(2)), "neither 0 nor 1");
  refused(array(Type::string, 1).number(~std::uint64_t(0)), "truncated");
  const auto two = [](const char* second) {
    return Bytes::header(3, 0, 2).key("k", Type::u32).number(1u).key(second, Type::u32).number(2u);
  };
  refused(two("k"), "occurs twice");
  for (const std::uint32_t alignment : {0u, 3u, 48u, 1u << 30})
    refused(Bytes::header(3, 0, 1).key("general.alignment", Type::u32).number(alignment), "general.alignment");
  refused(Bytes::header(3, 0, 1).key("split.count", Type::u16).number(std::uint16_t(2)), "split model");

  const auto tensor = [](std::vector<std::uint64_t> dims, std::uint32_t type, std::uint64_t offset) {
    return Bytes::header(3, 1, 0).tensor("t", std::move(dims), type, offset).padding(64);
  };
  refused(tensor({}, 0, 0), "0 dimensions");
  refused(tensor({1, 1, 1, 1, 1}, 0, 0), "5 dimensions");
  refused(tensor({4, 0}, 0, 0), "dimension of 0");
  refused(tensor({std::uint64_t(1) << 40, std::uint64_t(1) << 40}, 0, 0), "which no tensor has");
  refused(tensor({std::uint64_t(1) << 62}, 0, 0), "more than a file can hold");
  refused(tensor({33}, 8, 0), "multiple of 32");
  refused(tensor({4}, 0, 7), "no multiple of general.alignment");
  refused(tensor({400}, 0, 0), "truncated");
  refused(tensor({4}, 0, std::uint64_t(1) << 63), "truncated");
  refused(Bytes::header(3, 2, 0).tensor("t", {4}, 0, 0).tensor("t", {4}, 0, 32).padding(99), "occurs twice");
  refused(Bytes::header(3, 2, 0).tensor("t", {16}, 0, 0).tensor("u", {4}, 0, 32).padding(199), "overlap");

  const auto start = std::chrono::steady_clock::now();  // a claim of 2^60 strings costs nothing
  refused(array(Type::string, 1ull << 60), "strings");
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::milliseconds(200));
}

}  // namespace gguf_reader_test
