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
#include "moderngpt2/io/folder.hpp"
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

/// Limits the size of files of this process to `bytes` for the scope, like a full disk.
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
  CHECK(complete_lines("").empty());
  CHECK(complete_lines("cut").empty());
  CHECK(complete_lines("one\n\ntwo\ncut") == std::vector<std::string_view>{"one", "", "two"});
}

TEST_CASE("temporary names of a killed process are recognized") {
  for (const char* name : {".a.1-0.tmp", ".model.safetensors.31415-12.tmp"})
    CHECK_MESSAGE(is_atomic_leftover(name), name);
  for (const char* name : {"a.1-0.tmp", ".a.1-0", ".a.tmp", ".a.1.tmp", ".a.-0.tmp", ".1-0.tmp", ".tmp", ".a.1-x.tmp"})
    CHECK_MESSAGE(!is_atomic_leftover(name), name);
}

TEST_CASE("a file's record is of what was to be written") {
  TemporaryFolder t;
  const FileRecord record = write_file(t / "a", "some text");
  CHECK(record.name == "a");
  CHECK(record.bytes == 9);
  FileHash hash;
  hash.add(std::as_bytes(std::span(std::string_view("some text"))));
  CHECK(record.xxh3 == hash.text());
  CHECK(write_file(t / "a", "some texu").xxh3 != record.xxh3);
}

TEST_CASE("lines are added at the end of a file, which may have to be new") {
  TemporaryFolder t;
  write_file(t / "log", "1\n");
  AppendFile(t / "log").add("2\n");
  AppendFile(t / "other", AppendFile::Start::new_file).add("3\n");
  CHECK(read_file(t / "log") == "1\n2\n");
  CHECK(read_file(t / "other") == "3\n");
  CHECK_ERROR(AppendFile(t / "log", AppendFile::Start::new_file), "log", "exists");
  CHECK_ERROR(AppendFile("/dev/full").add("x"), "/dev/full", "space");
}

TEST_CASE("folders are made, listed and tried, or named with the reason") {
  TemporaryFolder t;
  make_folder(t / "a" / "b" / "c");
  make_folder(t / "a" / "b" / "");
  CHECK(folder_entries(t / "a") == std::vector<fs::path>{t / "a" / "b"});
  CHECK(folder_entries(t / "nowhere").empty());
  write_file(t / "file", "x");
  CHECK_ERROR(make_folder(t / "file" / "x"), "file");
  CHECK_ERROR(make_folder(""), "empty");
  CHECK_ERROR(folder_entries(t / "file"), "file");
  require_writable(t / "new" / "folder");
  CHECK_FALSE(fs::exists(t / "new"));
  CHECK_ERROR(require_writable(t / "file" / "x"), "file");
  CHECK_ERROR(require_writable(""), "empty");
  CHECK_ERROR(require_writable("/proc/x"), "/proc/x");
  CHECK(folder_entries(t.path()).size() == 2);
}

TEST_CASE("a folder has one lock") {
  TemporaryFolder t;
  {
    const auto first = lock_folder(t.path());
    CHECK(first);
    CHECK_FALSE(lock_folder(t.path()));
  }
  CHECK(lock_folder(t.path()));
  CHECK_ERROR(lock_folder(t / "nowhere"), "nowhere");
}
