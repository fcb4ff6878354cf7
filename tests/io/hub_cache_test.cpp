#include <cstdlib>
#include <filesystem>
#include <string>
#include <sys/stat.h>

#include <doctest/doctest.h>

#include "expect_error.hpp"
#include "moderngpt2/io/config_file.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/io/hub_cache.hpp"
#include "support/temporary_folder.hpp"

using namespace moderngpt2;
using moderngpt2::test::TemporaryFolder;
namespace fs = std::filesystem;

namespace hub_cache_test {

/// Makes a snapshot as huggingface_hub does: links into blobs.
void add_snapshot(const fs::path& repository, const std::string& revision) {
  fs::create_directories(repository / "blobs");
  fs::create_directories(repository / "snapshots" / revision);
  write_file(repository / "blobs" / ("hash" + revision), R"({"model_type":"moderngpt2"})");
  fs::create_symlink("../../blobs/hash" + revision, repository / "snapshots" / revision / "config.json");
}

void set_main(const fs::path& repository, const std::string& text) {
  fs::create_directories(repository / "refs");
  write_file(repository / "refs" / "main", text);
}

}  // namespace hub_cache_test

TEST_CASE("a repository of the Hugging Face cache means its main snapshot") {
  TemporaryFolder t;
  const fs::path repository = t / "hub/models--org--name", snapshots = repository / "snapshots";
  hub_cache_test::add_snapshot(repository, "aaa");
  CHECK(local_model(repository) == snapshots / "aaa");  // the only one
  hub_cache_test::add_snapshot(repository, "bbb");
  CHECK_ERROR(local_model(repository), "models--org--name: 2 snapshots, and no refs/main", "Give one of its snapshots",
              (snapshots / "aaa").string());
  hub_cache_test::set_main(repository, "bbb\n");
  for (const fs::path& path : {repository, snapshots, fs::path(repository.string() + "/"),
                               fs::path(snapshots.string() + "/"), fs::path(snapshots / "bbb")})
    CHECK_MESSAGE(fs::equivalent(local_model(path), snapshots / "bbb"), path.string());
  CHECK(local_model(snapshots / "aaa") == snapshots / "aaa");
  CHECK(read_config(local_model(repository)).config.n_layer == 12);
  CHECK_ERROR(local_model(t / "hub"), "hub: is a cache with 1 models. Give one of them, such as", repository.string());
}

TEST_CASE("a repository of the cache that is damaged or hostile") {
  TemporaryFolder t;
  const fs::path repository = t / "models--org--name";
  fs::create_directories(repository / "snapshots");
  CHECK_ERROR(local_model(repository), "snapshots: has no model files");
  hub_cache_test::add_snapshot(repository, "aaa");
  for (const std::string& text : {std::string("ccc"), std::string(""), std::string(".."), std::string("../../x"),
                                  std::string("/etc"), std::string("aaa\0b", 5), std::string("aaa\naaa")}) {
    hub_cache_test::set_main(repository, text);
    CHECK_ERROR(local_model(repository), "refs/main: the revision", "is not among the snapshots", "aaa");
  }
  hub_cache_test::set_main(repository, std::string(2000, 'x'));
  CHECK_ERROR(local_model(repository), "refs/main");
  fs::remove(repository / "refs/main");
  REQUIRE(mkfifo((repository / "refs/main").c_str(), 0600) == 0);
  CHECK_ERROR(local_model(repository), "refs/main", "is a pipe");
}

TEST_CASE("names of the Hub are not resolved, and the error says what to give") {
  TemporaryFolder t;
  for (const char* variable : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"})
    ::unsetenv(variable);
  ::setenv("HF_HOME", t.path().c_str(), 1);
  CHECK_ERROR(local_model("no-such-org/a.b"), "no-such-org/a.b: no such folder", "not resolved",
              "hf download no-such-org/a.b");
  hub_cache_test::add_snapshot(t / "hub/models--no-such-org--a.b", "aaa");
  CHECK_ERROR(local_model("no-such-org/a.b"), "the cache has it: give", "hub/models--no-such-org--a.b");
  ::unsetenv("HF_HOME");
  // Other paths stay as they are; whoever opens them says what is missing.
  for (const char* path :
       {"no_such_folder", "/no/such", "./no/such", "../no/such", "no/such/folder", "no/", "a b/c", "~/x", "", "-a/b",
        "no-such-org/..", "no-such-org/a$(x)", "out/tokenizer.json", "out/model.gguf"})
    CHECK(local_model(path) == path);
  fs::create_directories(t / "plain");
  CHECK(local_model(t / "plain") == t / "plain");
  CHECK_ERROR(read_config(t / "plain/model.safetensors"), "has weights only: give its folder");
}
