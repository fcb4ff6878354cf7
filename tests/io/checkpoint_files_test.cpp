#include <cstdint>
#include <filesystem>
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

const std::vector<float> values{1, 2, 3, 4, 5, 6};

std::vector<TensorSource> three() {
  return {tensor_source("a", {6}, values.data()), tensor_source("b", {2}, values.data() + 2),
          tensor_source("c", {3}, values.data(), Dtype::bf16)};
}

std::set<std::string> names_in(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.insert(entry.path().filename().string());
  return names;
}

/// Writes an index that maps tensor "a" to the given shard.
void write_index(const fs::path& folder, const std::string& shard) {
  Json index = Json::object();
  index["weight_map"]["a"] = shard;
  write_json_file(folder / "model.safetensors.index.json", index);
}

}  // namespace

TEST_CASE("one file below the limit, shards with an index above it, and back") {
  TemporaryFolder t;
  CHECK(write_sharded(t.path(), three(), 38).size() == 1);
  CHECK(names_in(t.path()) == std::set<std::string>{"model.safetensors"});

  std::vector<std::string> written;
  for (const FileRecord& file : write_sharded(t.path(), three(), 24)) {  // a has 24 bytes, b and c together 14
    written.push_back(file.name);
    CHECK(file.bytes == fs::file_size(t / file.name));
  }
  CHECK(written == std::vector<std::string>{"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
                                            "model.safetensors.index.json"});
  CHECK(names_in(t.path()) == std::set<std::string>(written.begin(), written.end()));
  const Json index = read_json_file(t / "model.safetensors.index.json");
  CHECK(index["metadata"]["total_size"] == 38);
  CHECK(index["weight_map"]["b"] == "model-00002-of-00002.safetensors");

  const CheckpointTensors tensors(t.path());
  CHECK(tensors.files().size() == 2);
  CHECK(tensors.tensors().size() == 3);
  CHECK(tensors.at("c").shard == 1);
  CHECK(tensors.path_of(tensors.at("c")).filename() == "model-00002-of-00002.safetensors");
  CHECK(tensors.read_vector<float>("a") == values);
  CHECK(tensors.read_vector<double>("c") == std::vector<double>{1, 2, 3});
  float second = 0;
  tensors.read_as(tensors.at("b"), &second, 1, 1);
  CHECK(second == 4);
  CHECK(tensors.find("d") == nullptr);
  CHECK_ERROR(tensors.at("d"), "no tensor \"d\"");
  CHECK(tensors.metadata().at("format") == "pt");

  CHECK(write_sharded(t.path(), three(), 1).size() == 4);  // a tensor is never split
  CHECK(CheckpointTensors(t.path()).tensors().size() == 3);
  write_sharded(t.path(), three());
  CHECK(names_in(t.path()) == std::set<std::string>{"model.safetensors"});
  CHECK(CheckpointTensors(t.path()).read_vector<float>("a") == values);
  CHECK(CheckpointTensors(t / "model.safetensors").tensors().size() == 3);
}

TEST_CASE("a failing save keeps the earlier checkpoint") {
  TemporaryFolder t;
  write_sharded(t.path(), three(), 24);
  const auto before = names_in(t.path());
  auto broken = three();
  broken[2].fill = [](std::uint64_t, std::span<std::byte>) { throw Error("disk {}", "full"); };
  CHECK_ERROR(write_sharded(t.path(), broken, 24), "disk full");
  CHECK(names_in(t.path()) == before);
  CHECK(CheckpointTensors(t.path()).read_vector<float>("a") == values);
}

TEST_CASE("weight_map cannot name a file elsewhere") {
  TemporaryFolder t;
  write_sharded(t.path(), three());
  fs::create_directory(t / "m");
  for (const std::string& shard :
       {std::string("../model.safetensors"), std::string("/dev/zero"), (t / "model.safetensors").string(),
        std::string("a/b.safetensors"), std::string(".."), std::string(""), std::string("x\0.safetensors", 14),
        std::string(300, 'x') + ".safetensors"}) {
    write_index(t / "m", shard);
    CHECK_ERROR(CheckpointTensors(t / "m"), "index.json: weight_map names the shard", "in the same folder");
  }
  write_index(t / "m", "pytorch_model.bin");
  CHECK_ERROR(CheckpointTensors(t / "m"), "only .safetensors");
  write_index(t / "m", "x.safetensors");
  CHECK_ERROR(CheckpointTensors(t / "m"), "the shard \"x.safetensors\" is missing");
  for (const char* target : {"../model.safetensors", "/dev/zero"}) {
    fs::create_symlink(target, t / "m/x.safetensors");
    CHECK_ERROR(CheckpointTensors(t / "m"), "leads out of the folder");
    fs::remove(t / "m/x.safetensors");
  }
  REQUIRE(mkfifo((t / "m/x.safetensors").c_str(), 0600) == 0);
  CHECK_ERROR(CheckpointTensors(t / "m"), "is a pipe");
}

TEST_CASE("Hugging Face's cache of links into blobs is read") {
  TemporaryFolder t;
  fs::create_directories(t / "blobs");
  fs::create_directories(t / "snapshots/abc");
  write_safetensors(t / "blobs/0123", three());
  fs::create_symlink("../../blobs/0123", t / "snapshots/abc/x.safetensors");
  write_index(t / "snapshots/abc", "x.safetensors");
  CHECK(CheckpointTensors(t / "snapshots/abc").read_vector<float>("a") == values);
}

TEST_CASE("index and shards that contradict each other") {
  TemporaryFolder t;
  write_sharded(t.path(), three(), 24);
  const fs::path index = t / "model.safetensors.index.json";
  const Json good = read_json_file(index);

  Json json = good;
  json["weight_map"]["d"] = "model-00001-of-00002.safetensors";
  write_json_file(index, json);
  CHECK_ERROR(CheckpointTensors(t.path()), "no shard has the tensor \"d\"", "model-00001-of-00002");

  json = good;
  json["weight_map"]["a"] = "model-00002-of-00002.safetensors";
  json["weight_map"]["b"] = "model-00001-of-00002.safetensors";
  write_json_file(index, json);
  CHECK_ERROR(CheckpointTensors(t.path()), "tensor \"a\" is in model-00001", "not in \"model-00002");

  write_json_file(index, good);
  write_safetensors(t / "model-00002-of-00002.safetensors", three());
  CHECK_ERROR(CheckpointTensors(t.path()), "tensor \"a\" is in both", "model-00001-of-00002", "model-00002-of-00002");

  fs::remove(t / "model-00002-of-00002.safetensors");
  CHECK_ERROR(CheckpointTensors(t.path()), "\"model-00002-of-00002.safetensors\" is missing");

  for (const char* text : {"{}", R"({"weight_map":{}})", R"({"weight_map":[]})"}) {
    write_file(index, text);
    CHECK_ERROR(CheckpointTensors(t.path()), "weight_map must be an object");
  }
  // Like in Transformers, the sizes of the metadata are not used, and a shard may hold tensors that the index leaves
  // out.
  json = parse_json(R"({"metadata":{"total_size":1e300,"total_parameters":-1},"weight_map":{}})", "");
  json["weight_map"]["a"] = good["weight_map"]["a"];
  json["weight_map"]["b"] = good["weight_map"]["b"];
  write_sharded(t.path(), three(), 24);
  write_json_file(index, json);
  CHECK(CheckpointTensors(t.path()).read_vector<float>("c") == std::vector<float>{1, 2, 3});

  write_file(index, R"({"weight_map":{"a":1}})");
  CHECK_ERROR(CheckpointTensors(t.path()), "weight_map \"a\" must be a string");
}

TEST_CASE("pickles are refused with a hint, and an empty folder says what is missing") {
  TemporaryFolder t;
  CHECK_ERROR(CheckpointTensors(t.path()), "neither model.safetensors nor");
  CHECK_ERROR(CheckpointTensors(t / "none"), "/none", "No such file");
  for (const char* name : {"pytorch_model.bin", "model.pt"}) {
    write_file(t / name, "PK");
    CHECK_ERROR(CheckpointTensors(t.path()), name, "safetensors.torch import save_file");
    CHECK_ERROR(CheckpointTensors(t / name), name, "Convert them in their folder: python3 -c \"import");
    fs::remove(t / name);
  }
  // The trainer's own pickles are no weights.
  for (const char* name : {"training_args.bin", "optimizer.pt", "rng_state_0.pth"}) write_file(t / name, "PK");
  CHECK_ERROR(CheckpointTensors(t.path()), "neither model.safetensors nor");
  write_file(t / "pytorch_model-00001-of-00002.bin", "PK");
  write_file(t / "pytorch_model.bin.index.json", R"({"weight_map":{"a":"pytorch_model-00001-of-00002.bin"}})");
  CHECK_ERROR(CheckpointTensors(t.path()), "glob.glob('pytorch_model*.bin')");
  write_file(t / "a'; rm -rf b.pt", "PK");
  CHECK_ERROR(CheckpointTensors(t / "a'; rm -rf b.pt"), "glob.glob('*.pt')");
  fs::remove(t / "pytorch_model-00001-of-00002.bin");
  fs::remove(t / "a'; rm -rf b.pt");
  write_file(t / "adapter_config.json", "{}");
  CHECK_ERROR(CheckpointTensors(t.path()), "an adapter (LoRA)", "merge_and_unload()");
}

TEST_CASE("names of tensors as other programs store them") {
  TemporaryFolder t;
  const auto written = [&](const std::vector<std::pair<std::string, std::vector<std::int64_t>>>& tensors) {
    std::vector<TensorSource> sources;
    for (const auto& [name, shape] : tensors) sources.push_back(tensor_source(name, shape, values.data()));
    write_sharded(t.path(), sources);
    return CheckpointTensors(t.path());
  };
  const auto names_of = [](const CheckpointTensors& tensors) {
    std::set<std::string> names;
    for (const TensorInfo& info : tensors.tensors()) names.insert(info.name);
    return names;
  };
  using Names = std::set<std::string>;

  const CheckpointTensors plain = written({{"model.embed_tokens.weight", {2, 3}}, {"a", {}}, {"b", {0, 3}}});
  CHECK(names_of(plain) == Names{"model.embed_tokens.weight", "a", "b"});
  CHECK(plain.notes().empty());
  CHECK(plain.read_vector<float>("a") == std::vector<float>{1});
  CHECK(plain.read_vector<float>("b").empty());

  const CheckpointTensors old = written({{"model.embed_tokens.weight", {2, 3}},
                                         {"model.layers.0.self_attn.rotary_emb.inv_freq", {4}},
                                         {"transformer.h.0.attn.bias", {1, 1, 2, 2}},
                                         {"transformer.h.0.attn.masked_bias", {}},
                                         {"position_ids", {1, 4}},
                                         {"my.attn.bias", {4}},
                                         {"my_position_ids", {4}}});
  CHECK(names_of(old) == Names{"model.embed_tokens.weight", "my.attn.bias", "my_position_ids"});
  REQUIRE(old.notes().size() == 1);
  CHECK(test::contains(old.notes()[0], ": 4 tensors such as "));
  CHECK(test::contains(old.notes()[0], "are not read: they are computed from config.json"));

  const CheckpointTensors wrapped =
      written({{"module._orig_mod.model.embed_tokens.weight", {2, 3}},
               {"module.model.layers.0._fsdp_wrapped_module.mlp._checkpoint_wrapped_module.up_proj.weight", {6}}});
  CHECK(names_of(wrapped) == Names{"model.embed_tokens.weight", "model.layers.0.mlp.up_proj.weight"});
  REQUIRE(wrapped.notes().size() == 1);
  CHECK(test::contains(wrapped.notes()[0], "the names of 2 tensors are read without the prefixes of wrappers"));
  CHECK(wrapped.read_vector<float>("model.layers.0.mlp.up_proj.weight") == values);
  CHECK_ERROR(written({{"module.a", {1}}, {"a", {1}}}), "two tensors have the name \"a\"");
  CHECK(names_of(written({{"a.module.b", {1}}, {"module.", {2}}, {".", {3}}, {"x.", {3}}})).size() == 4);

  // Models saved without their head.
  CHECK(names_of(written({{"embed_tokens.weight", {2, 3}}, {"layers.0.mlp.up_proj.weight", {6}}})) ==
        Names{"model.embed_tokens.weight", "model.layers.0.mlp.up_proj.weight"});
  CHECK(names_of(written({{"module.wte.weight", {2, 3}}, {"module.ln_f.weight", {3}}})) ==
        Names{"transformer.wte.weight", "transformer.ln_f.weight"});
}
