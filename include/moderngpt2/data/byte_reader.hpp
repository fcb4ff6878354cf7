#pragma once

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <string>
#include <sys/stat.h>
#include <unistd.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/io/file.hpp"

namespace moderngpt2 {

/// Stream of a file's bytes after decompression. Threads: one at a time.
class ByteReader {
 public:
  virtual ~ByteReader() = default;
  /// Reads up to `size` bytes. Returns 0 at the end. Throws Error that names file and offset.
  virtual std::size_t read(char* out, std::size_t size) = 0;
  /// Number of bytes read from the file before decompression, for progress.
  virtual std::int64_t position() const = 0;
};

/// Uncompressed file.
class FileReader final : public ByteReader {
 public:
  explicit FileReader(std::filesystem::path path) : path_(std::move(path)) {
    file_ = detail::Descriptor(detail::retry_interrupted([&] { return ::open(path_.c_str(), O_RDONLY | O_CLOEXEC); }));
    if (file_.get() < 0) throw Error("{}: cannot open: {}", path_.string(), std::strerror(errno));
    struct stat status {};
    if (::fstat(file_.get(), &status) == 0 && S_ISDIR(status.st_mode))
      throw Error("{}: is a folder, not a file", path_.string());
  }

  std::size_t read(char* out, std::size_t size) override {
    const ssize_t count = detail::retry_interrupted([&] { return ::read(file_.get(), out, size); });
    if (count < 0) throw Error("{}: cannot read at byte {}: {}", path_.string(), position_, std::strerror(errno));
    position_ += count;
    return static_cast<std::size_t>(count);
  }
  std::int64_t position() const override { return position_; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  detail::Descriptor file_;
  std::int64_t position_ = 0;
};

}  // namespace moderngpt2
