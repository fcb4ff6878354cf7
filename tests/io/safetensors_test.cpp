#include <chrono>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <set>
#include <span>
#include <string>
#include <sys/stat.h>
#include <vector>

#include <doctest/doctest.h>

#include "expect_error.hpp"
#include "moderngpt2/io/safetensors.hpp"
#include "support/temporary_folder.hpp"

using namespace moderngpt2;
using moderngpt2::test::TemporaryFolder;
namespace fs = std::filesystem;

namespace {

const fs::path golden = fs::path(MODERNGPT2_TEST_DATA) / "golden";

/// Writes a file with the given header and `data_bytes` bytes 0, 1, 2, ...
fs::path write_raw(const fs::path& path, const std::string& header, std::size_t data_bytes) {
  std::string text(8, '\0');
  const std::uint64_t length = header.size();
  std::memcpy(text.data(), &length, 8);
  text += header;
  for (std::size_t i = 0; i < data_bytes; ++i) text += static_cast<char>(i);
  write_file(path, text);
  return path;
}

/// Header text with one tensor "x".
std::string one(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"x":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}";
}

}  // namespace

TEST_CASE("the golden files are read") {
  for (const auto& entry : fs::directory_iterator(golden)) {
    if (!entry.is_directory()) continue;
    const SafetensorsFile model(entry.path() / "model.safetensors");
    CHECK(model.metadata().at("format") == "pt");
    const TensorInfo& wte = model.at("transformer.wte.weight");
    CHECK(wte.shape.size() == 2);
    CHECK(model.find("lm_head.bias") == nullptr);
    const auto narrow = model.read_vector<float>(wte.name);
    const auto wide = model.read_vector<double>(wte.name);
    REQUIRE(narrow.size() == static_cast<std::size_t>(wte.count()));
    CHECK(double(narrow.back()) == wide.back());
    CHECK(model.read_vector<bf16>(wte.name)[5].bits == bf16(narrow[5]).bits);
    const SafetensorsFile expected(entry.path() / "expected.safetensors");
    CHECK(expected.read_vector<int>("input_ids").size() > 0);
    CHECK(expected.read_vector<float>("loss").size() == 1);
  }
}

TEST_CASE("a part of a tensor") {
  const SafetensorsFile model(golden / "mha" / "model.safetensors");
  const TensorInfo& wte = model.at("transformer.wte.weight");
  const auto all = model.read_vector<float>(wte.name);
  std::vector<double> part(7);
  model.read_as(wte, part.data(), 33, 7);
  for (std::size_t i = 0; i < part.size(); ++i) CHECK(part[i] == double(all[33 + i]));
  model.read_as(wte, part.data(), wte.count(), 0);
  CHECK_ERROR(model.read_as(wte, part.data(), wte.count() - 6, 7), "transformer.wte.weight", "elements");
  CHECK_ERROR(model.read_as(wte, part.data(), -1, 1), "asked for");
  std::vector<std::byte> bytes(8);
  CHECK_ERROR(model.read(wte, bytes, wte.bytes() - 7), "asked for");
  CHECK_ERROR(model.read_vector<int>(wte.name), "is F32, integers are needed");
  CHECK_ERROR(model.read_vector<float>("nothing"), "no tensor \"nothing\"");
}

TEST_CASE("elements of every type are converted or refused") {
  TemporaryFolder t;
  const std::vector<float> f{1.5f, -2.25f, 0.f, 1e-7f, 60000.f};
  const std::vector<std::int64_t> i64{1, -1, 1ll << 40};
  const std::vector<std::int8_t> i8{-128, 127};
  const std::vector<std::uint8_t> u8{0, 255};
  const std::vector<std::uint16_t> u16{65535};
  std::vector<TensorSource> sources;
  for (Dtype d : {Dtype::f32, Dtype::f64, Dtype::f16, Dtype::bf16})
    sources.push_back(tensor_source(std::string(dtype_name(d)), {5}, f.data(), d));
  sources.push_back(tensor_source("i64", {3}, i64.data()));
  sources.push_back(tensor_source("i8", {2}, i8.data()));
  sources.push_back(tensor_source("u8", {2}, u8.data()));
  sources.push_back(tensor_source("u16", {}, u16.data()));
  write_safetensors(t / "x.safetensors", sources);
  const SafetensorsFile file(t / "x.safetensors");
  CHECK(file.read_vector<float>("F64") == f);
  CHECK(file.read_vector<float>("F32") == f);
  CHECK(file.read_vector<double>("F16")[3] == double(f16(1e-7f)));
  CHECK(file.read_vector<float>("BF16")[4] == float(bf16(60000.f)));
  CHECK(file.read_vector<bf16>("F64")[1].bits == bf16(-2.25f).bits);
  CHECK(file.read_vector<std::int64_t>("i64") == i64);
  CHECK(file.read_vector<int>("i8") == std::vector<int>{-128, 127});
  CHECK(file.read_vector<std::int64_t>("u8") == std::vector<std::int64_t>{0, 255});
  CHECK(file.read_vector<int>("u16") == std::vector<int>{65535});
  CHECK_ERROR(file.read_vector<int>("i64"), "\"i64\" holds 1099511627776");
  CHECK_ERROR(file.read_vector<std::uint8_t>("i8"), "holds -128");
  CHECK_ERROR(file.read_vector<float>("i64"), "is I64, F64, F32, F16 or BF16 are needed");
  CHECK_ERROR(tensor_source("x", {5}, f.data(), Dtype::i32), "cannot be written as I32");
}

TEST_CASE("tensors longer than a chunk survive the trip, aligned and in order") {
  TemporaryFolder t;
  std::vector<float> a(1'000'003);
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = static_cast<float>(i % 1000) / 8;
  const std::vector<std::uint8_t> odd{1, 2, 3};
  const std::vector<TensorSource> sources{tensor_source("odd", {3}, odd.data()),
                                          tensor_source("half", {1'000'003}, a.data(), Dtype::bf16),
                                          tensor_source("a", {1'000'003}, a.data())};
  write_safetensors(t / "x", sources, {{"format", "pt"}, {"note", "\"quoted\"\n"}});
  const SafetensorsFile file(t / "x");
  CHECK(file.read_vector<float>("a") == a);
  CHECK(file.read_vector<double>("half")[999'999] == double(bf16(a[999'999])));
  CHECK(file.read_vector<int>("odd") == std::vector<int>{1, 2, 3});
  CHECK(file.metadata().at("note") == "\"quoted\"\n");
  const std::string raw = read_file(t / "x");
  std::uint64_t header = 0;
  std::memcpy(&header, raw.data(), 8);
  CHECK(header % 8 == 0);
  for (const TensorInfo& info : file.tensors())
    CHECK(info.begin % static_cast<std::uint64_t>(dtype_size(info.dtype)) == 0);
}

TEST_CASE("headers that are accepted") {
  TemporaryFolder t;
  const std::string header = one("U8", "[2,3]", "[0,6]");
  CHECK(SafetensorsFile(write_raw(t / "a", header, 6)).read_vector<int>("x").back() == 5);
  CHECK(SafetensorsFile(write_raw(t / "a", "  \n" + header + "     ", 6)).tensors().size() == 1);
  CHECK(SafetensorsFile(write_raw(t / "a", "{}", 0)).tensors().empty());
  CHECK(SafetensorsFile(write_raw(t / "a", one("F32", "[]", "[0,4]"), 4)).read_vector<float>("x").size() == 1);
  CHECK(SafetensorsFile(write_raw(t / "a", one("F32", "[3,0]", "[0,0]"), 0)).read_vector<float>("x").empty());
  const std::string vast = one("F32", "[9223372036854775807,9223372036854775807,0]", "[0,0]");
  CHECK(SafetensorsFile(write_raw(t / "a", vast, 0)).read_vector<float>("x").empty());
  CHECK(SafetensorsFile(write_raw(t / "a", one("F4", "[4]", "[0,2]"), 2)).at("x").bytes() == 2);
  const std::string name(1'000'000, 'n');
  const std::string long_name = R"({")" + name + R"(":{"dtype":"BOOL","shape":[1],"data_offsets":[0,1]}})";
  CHECK(SafetensorsFile(write_raw(t / "a", long_name, 1)).find(name) != nullptr);
}

// tests/data/safetensors/headers.json has headers, and whether safetensors 0.8 (Python) opens a file with each. Bytes
// of `header` are code points below 256.
TEST_CASE("types that can be listed but not computed with") {
  TemporaryFolder t;
  for (const std::string type : {"F8_E4M3", "F8_E5M2", "F8_E8M0", "I8", "U8", "BOOL"}) {
    const SafetensorsFile file(write_raw(t / "a", one(type, "[2,3]", "[0,6]"), 6));
    CHECK(file.at("x").count() == 6);
    CHECK_ERROR(file.read_vector<float>("x"), "/a: tensor \"x\" is " + type + ", F64, F32, F16 or BF16 are needed");
  }
  CHECK_ERROR(SafetensorsFile(write_raw(t / "a", one("I64", "[1]", "[0,8]"), 8)).read_vector<bf16>("x"), "is I64");
  CHECK(SafetensorsFile(write_raw(t / "a", one("F64", "[1]", "[0,8]"), 8)).read_vector<float>("x").size() == 1);
}

TEST_CASE("empty tensors between others, and unusual metadata") {
  TemporaryFolder t;
  const std::string tensors =
      R"("a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[0,7],"data_offsets":[4,4]},)"
      R"("c":{"dtype":"F32","shape":[],"data_offsets":[4,8]},"d":{"dtype":"F32","shape":[0],"data_offsets":[8,8]}})";
  for (const std::string metadata :
       {"", R"("__metadata__":null,)", R"("__metadata__":{},)", R"("__metadata__":{"framework":"tf","\u00e9":""},)"}) {
    const SafetensorsFile file(write_raw(t / "a", "{" + metadata + tensors, 8));
    CHECK(file.tensors().size() == 4);
    CHECK(file.read_vector<float>("c").size() == 1);
    CHECK(file.read_vector<float>("b").empty());
    CHECK(file.metadata().count("format") == 0);
  }
}

TEST_CASE("headers are accepted as by the safetensors library") {
  TemporaryFolder t;
  // Stricter: duplicate names, and dimensions beyond int64. Not refused: -0, and the order of huge dimensions and 0.
  const std::set<std::string> stricter{"dup tensor", "metadata dup key", "shape u64 max with zero"},
      looser{"offset -0", "shape huge zero last"};
  for (const Json& one : read_json_file(fs::path(MODERNGPT2_TEST_DATA) / "safetensors" / "headers.json")) {
    const auto name = one["name"].get<std::string>(), header = one["header"].get<std::string>();
    CAPTURE(name);
    std::string bytes;
    for (std::size_t at = 0; at < header.size(); at += detail::utf8_length(header[at]))
      bytes += static_cast<char>(detail::utf8_decode(header, at, detail::utf8_length(header[at])));
    write_raw(t / "a", bytes, one["data"].get<std::size_t>());
    bool opens = true;
    try {
      (void)SafetensorsFile(t / "a");
    } catch (const Error&) {
      opens = false;
    }
    CHECK(opens == ((one["opens"].get<bool>() && !stricter.contains(name)) || looser.contains(name)));
  }
}

TEST_CASE("files that end too early or promise too much") {
  TemporaryFolder t;
  for (std::size_t n = 0; n < 8; ++n) {
    write_file(t / "a", std::string(n, '\0'));
    CHECK_ERROR(SafetensorsFile(t / "a"), "begins with 8");
  }
  for (const char* length : {"\xff\xff\xff\xff\xff\xff\xff\xff", "\x01\xe1\xf5\x05\0\0\0\0", "\0\0\0\0\0\0\0\x80"}) {
    write_file(t / "a", std::string(length, 8) + "{}");
    CHECK_ERROR(SafetensorsFile(t / "a"), "the limit is 100000000");
  }
  write_file(t / "a", std::string("\x03\0\0\0\0\0\0\0{}", 10));
  CHECK_ERROR(SafetensorsFile(t / "a"), "a header of 3 bytes in a file of 10");
  CHECK_ERROR(SafetensorsFile(write_raw(t / "a", "", 0)), "empty, where JSON is expected");
  CHECK_ERROR(SafetensorsFile(write_raw(t / "a", "[]", 0)), "not a JSON object");
  CHECK_ERROR(SafetensorsFile(write_raw(t / "a", "{}", 1)), "something else follows");
  fs::copy_file(golden / "mha" / "model.safetensors", t / "cut");
  fs::resize_file(t / "cut", fs::file_size(t / "cut") - 1);
  CHECK_ERROR(SafetensorsFile(t / "cut"), "/cut", "truncated");
}

TEST_CASE("a file cut short while in use is an error and no signal") {
  TemporaryFolder t;
  fs::copy_file(golden / "mha" / "model.safetensors", t / "a");
  const SafetensorsFile file(t / "a");
  fs::resize_file(t / "a", 5000);
  CHECK_ERROR(file.read_vector<float>(file.tensors().back().name), "truncated");
}

TEST_CASE("offsets and shapes that are wrong") {
  TemporaryFolder t;
  auto fails = [&](const std::string& header, const std::string& part) {
    CHECK_ERROR(SafetensorsFile(write_raw(t / "a", header, 8)), "/a: ", part);
  };
  fails(one("F32", "[2]", "[8,0]"), "reversed");
  fails(one("F32", "[2]", "[-8,0]"), "out of range");
  fails(one("F32", "[2]", "[0,8.0]"), "must be an integer, found 8.0");
  fails(one("F32", "[2]", "[0,18446744073709551616]"), "must be an integer");
  fails(one("F32", "[2]", "[0,1e400]"), "too large");
  fails(one("F32", "[2]", "[0]"), "two integers");
  fails(one("F32", "[2]", "[0,8,8]"), "two integers");
  fails(one("F32", "[2]", "\"0,8\""), "two integers");
  fails(one("F32", "[1]", "[0,8]"), "takes 4 bytes");
  fails(one("F32", "[3]", "[0,8]"), "takes 12 bytes");
  fails(one("F32", "[-2]", "[0,8]"), "a dimension is -2");
  fails(one("F32", "[2.5]", "[0,8]"), "a dimension");
  fails(one("F32", "2", "[0,8]"), "shape must be a list");
  fails(one("F32", "[4294967296,4294967296]", "[0,8]"), "no possible size");
  fails(one("F32", "[9223372036854775807,2]", "[0,8]"), "no possible size");
  fails(one("F4", "[3]", "[0,2]"), "no possible size");
  fails(one("F33", "[2]", "[0,8]"), "unknown dtype \"F33\"");
  fails(one("F32", "[2]", "[4,12]"), "there is a hole");
  fails(one("F32", "[4]", "[0,16]"), "truncated");
  fails(one("F32", "[1]", "[0,4]"), "something else follows");
  fails(one("U8", "[18446744073709551615]", "[0,18446744073709551615]"), "out of range");
  fails(R"({"x":{"dtype":"F32","shape":[2]}})", "data_offsets");
  fails(R"({"x":{"shape":[2],"data_offsets":[0,8]}})", "dtype is missing");
  fails(R"({"x":{"dtype":"F32","data_offsets":[0,8]}})", "shape");
  fails(R"({"x":[0,8]})", "\"x\"");
  fails(R"({"__metadata__":{"a":1}})", "__metadata__");
  fails(R"({"__metadata__":"a"})", "__metadata__");
  const std::string overlap = R"("dtype":"U8","shape":[5],"data_offsets":)";
  fails("{\"a\":{" + overlap + "[0,5]},\"b\":{" + overlap + "[3,8]}}", "overlap");
  fails("{\"a\":{" + overlap + "[0,5]},\"a\":{" + overlap + "[3,8]}}", "occurs twice");
  fails("{\"\xff\":{}}", "UTF-8");
  fails(R"({"\ud800":{}})", "surrogate");
  fails(R"({"a\nb":{}})", "a\\x0ab");
}

TEST_CASE("a hundred thousand tensors on one range are refused quickly") {
  TemporaryFolder t;
  std::string header = "{";
  for (int i = 0; i < 100'000; ++i)
    header += (i ? ",\"" : "\"") + std::to_string(i) + R"(":{"dtype":"U8","shape":[8],"data_offsets":[0,8]})";
  write_raw(t / "a", header + "}", 8);
  const auto start = std::chrono::steady_clock::now();
  CHECK_ERROR(SafetensorsFile(t / "a"), "overlap");
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(10));
}

TEST_CASE("writing refuses what could not be read back, and leaves the old file") {
  TemporaryFolder t;
  const std::vector<float> x{1, 2};
  auto fails = [&](std::vector<TensorSource> sources, const std::string& part) {
    CHECK_ERROR(write_safetensors(t / "a", sources), part);
  };
  write_file(t / "a", "old");
  fails({tensor_source("x", {2}, x.data()), tensor_source("x", {2}, x.data())}, "two tensors named \"x\"");
  fails({tensor_source("__metadata__", {2}, x.data())}, "__metadata__");
  fails({tensor_source("\xff", {2}, x.data())}, "UTF-8");
  fails({tensor_source("x", {-2}, x.data())}, "no possible size");
  fails({{"x", Dtype::u8, {5}, [](std::uint64_t, std::span<std::byte>) { throw Error("gathering failed on {}", 1); }}},
        "gathering failed");
  CHECK(read_file(t / "a") == "old");
  CHECK(std::distance(fs::directory_iterator(t.path()), fs::directory_iterator()) == 1);
}
