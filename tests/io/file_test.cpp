#include <csignal>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

#include <doctest/doctest.h>

#include "expect_error.hpp"
#include "moderngpt2/io/file.hpp"
#include "support/temporary_folder.hpp"

using namespace moderngpt2;
using moderngpt2::test::TemporaryFolder;
namespace fs = std::filesystem;

namespace {

int entries(const fs::path& folder) {
  int n = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator(folder)) ++n;
  return n;
}

/// Lets files of this process grow to `bytes` at most, until the end of the scope: a full disk without a disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    getrlimit(RLIMIT_FSIZE, &before_);
    rlimit limit = before_;
    limit.rlim_cur = bytes;
    setrlimit(RLIMIT_FSIZE, &limit);
    handler_ = std::signal(SIGXFSZ, SIG_IGN);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int) = nullptr;
};

}  // namespace

TEST_CASE("a file is written whole and read back") {
  TemporaryFolder t;
  write_file(t / "a", "first");
  CHECK(read_file(t / "a") == "first");
  write_file(t / "a", "");
  CHECK(read_file(t / "a").empty());
  AtomicFile file(t / "a");
  file.write("one ");
  file.write("two");
  CHECK(file.size() == 7);
  CHECK(read_file(t / "a").empty());  // not yet published
  file.commit();
  CHECK(read_file(t / "a") == "one two");
  CHECK(entries(t.path()) == 1);
}

TEST_CASE("without commit the target stays and nothing is left over") {
  TemporaryFolder t;
  write_file(t / "a", "before");
  {
    AtomicFile file(t / "a");
    file.write("half");
  }
  CHECK(read_file(t / "a") == "before");
  CHECK(entries(t.path()) == 1);
}

TEST_CASE("a leftover temporary file of a killed process is no obstacle") {
  TemporaryFolder t;
  std::ofstream(t / fmt::format(".a.{}-0.tmp", static_cast<long>(getpid()))) << "left";
  write_file(t / "a", "new");
  CHECK(read_file(t / "a") == "new");
}

TEST_CASE("a write that fails leaves the old file and no leftovers") {
  TemporaryFolder t;
  write_file(t / "a", "before");
  {
    FileSizeLimit limit(1000);
    CHECK_ERROR(write_file(t / "a", std::string(5000, 'x')), "cannot write", "/a: File too large");
  }
  CHECK(read_file(t / "a") == "before");
  CHECK(entries(t.path()) == 1);
}

TEST_CASE("what cannot be written or read is named, with the reason") {
  TemporaryFolder t;
  CHECK_ERROR(write_file(t / "none/a", "x"), "none/a", "No such file");
  CHECK_ERROR(read_file(t / "none"), "cannot open", "none", "No such file");
  fs::create_directory(t / "folder");
  CHECK_ERROR(write_file(t / "folder", "x"), "folder", "directory");
  CHECK_ERROR(read_file(t / "folder"), "is a folder");
  CHECK(entries(t.path()) == 1);
  CHECK_ERROR(read_file("/dev/zero"), "/dev/zero is a device");
  REQUIRE(mkfifo((t / "pipe").c_str(), 0600) == 0);
  CHECK_ERROR(read_file(t / "pipe"), "is a pipe");  // and does not wait for a writer
}

TEST_CASE("a read past the end is an error, also when the file shrinks while open") {
  TemporaryFolder t;
  write_file(t / "a", "0123456789");
  InputFile file(t / "a");
  CHECK(file.size() == 10);
  std::string four(4, ' ');
  file.read(6, std::as_writable_bytes(std::span(four)));
  CHECK(four == "6789");
  CHECK_ERROR(file.read(7, std::as_writable_bytes(std::span(four))), "ends at byte 10", "11", "truncated");
  fs::resize_file(t / "a", 5);
  CHECK_ERROR(file.read(2, std::as_writable_bytes(std::span(four))), "ends at byte 5");
  CHECK_ERROR(read_file(t / "a", 4), "has 5 bytes, the limit is 4");
}

TEST_CASE("excerpts of hostile text fit one line") {
  CHECK(excerpt("plain") == "\"plain\"");
  CHECK(excerpt("a\nb\x7f") == "\"a\\x0ab\\x7f\"");
  CHECK(excerpt(std::string(1000, 'x')).size() < 100);
  CHECK(excerpt("\xc3\xa4\xc3\xa4", 3) == "\"\xc3\xa4...\"");  // never cut inside a character
}

TEST_CASE("the current folder can be synced under its empty name") {
  sync_folder("");
  CHECK_ERROR(sync_folder("/nonexistent"), "/nonexistent");
}

TEST_CASE("a line that is still being written is none") {
  CHECK(whole_lines("").empty());
  CHECK(whole_lines("cut").empty());
  CHECK(whole_lines("one\n\ntwo\ncut") == std::vector<std::string_view>{"one", "", "two"});
}
