#pragma once

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/printable.hpp"
#include "moderngpt2/io/file_hash.hpp"

namespace moderngpt2 {

namespace detail {

/// Repeats a system call while it fails with EINTR.
template <class Call>
auto retry_interrupted(Call call) {
  decltype(call()) result;
  do result = call();
  while (result < 0 && errno == EINTR);
  return result;
}

/// Owns a file descriptor.
class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() { close(); }

  int get() const { return fd_; }
  /// Closes the descriptor. Returns 0, or the errno of a close that lost data. Linux frees the descriptor even if
  /// interrupted.
  int close() {
    if (fd_ < 0) return 0;
    return ::close(std::exchange(fd_, -1)) != 0 && errno != EINTR ? errno : 0;
  }

 private:
  int fd_;
};

/// Writes all of `data`. Returns 0 or an errno.
inline int write_all(int fd, std::span<const std::byte> data) {
  while (!data.empty()) {
    const std::size_t wanted =
        std::min<std::size_t>(data.size(), std::size_t{1} << 30);  // Linux transfers less than 2 GiB per call
    const ssize_t put = retry_interrupted([&] { return ::write(fd, data.data(), wanted); });
    if (put < 0) return errno;
    data = data.subspan(static_cast<std::size_t>(put));
  }
  return 0;
}

inline std::string_view kind_of_file(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a pipe";
  if (S_ISCHR(mode) || S_ISBLK(mode)) return "a device";
  if (S_ISSOCK(mode)) return "a socket";
  return "not a regular file";
}

}  // namespace detail

/// Regular file for reading at any offset, from several threads at once. Uses pread and not mmap: a file that is
/// truncated while in use is an Error and not a signal.
class InputFile {
 public:
  /// Throws Error if the file is missing, unreadable or not a regular file. Never blocks on a pipe.
  explicit InputFile(std::filesystem::path path) : path_(std::move(path)) {
    const char* name = path_.c_str();
    fd_ = detail::Descriptor(
        detail::retry_interrupted([&] { return ::open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); }));
    if (fd_.get() < 0) throw Error("cannot open {}: {}", path_.string(), std::strerror(errno));
    struct stat status {};
    if (::fstat(fd_.get(), &status) != 0) throw Error("cannot stat {}: {}", path_.string(), std::strerror(errno));
    if (!S_ISREG(status.st_mode))
      throw Error("{} is {}, a regular file is needed", path_.string(), detail::kind_of_file(status.st_mode));
    size_ = static_cast<std::uint64_t>(status.st_size);
  }

  const std::filesystem::path& path() const { return path_; }
  /// Size in bytes when the file was opened.
  std::uint64_t size() const { return size_; }

  /// Fills `out` from byte `offset`. Throws Error if the file ends before that.
  void read(std::uint64_t offset, std::span<std::byte> out) const {
    std::size_t done = 0;
    while (done < out.size()) {
      // One call transfers less than 2 GiB.
      const std::size_t wanted = std::min<std::size_t>(out.size() - done, std::size_t{1} << 30);
      const ssize_t got = detail::retry_interrupted(
          [&] { return ::pread(fd_.get(), out.data() + done, wanted, static_cast<off_t>(offset + done)); });
      if (got < 0) throw Error("cannot read {}: {}", path_.string(), std::strerror(errno));
      if (got == 0)
        throw Error("{} ends at byte {}, {} bytes were expected: it is truncated", path_.string(), offset + done,
                    offset + out.size());
      done += static_cast<std::size_t>(got);
    }
  }

 private:
  std::filesystem::path path_;
  detail::Descriptor fd_;
  std::uint64_t size_ = 0;
};

/// Returns the content of a regular file. Throws Error if it is longer than `limit` bytes.
inline std::string read_file(const std::filesystem::path& path, std::uint64_t limit = std::uint64_t{1} << 30) {
  InputFile file(path);
  if (file.size() > limit) throw Error("{} has {} bytes, the limit is {}", path.string(), file.size(), limit);
  std::string text(static_cast<std::size_t>(file.size()), '\0');
  file.read(0, std::as_writable_bytes(std::span(text)));
  return text;
}

/// Lines of a text that end with a line feed, without the line feed. Text after the last line feed is not returned.
inline std::vector<std::string_view> complete_lines(std::string_view text) {
  std::vector<std::string_view> lines;
  for (std::size_t end; (end = text.find('\n')) != text.npos; text.remove_prefix(end + 1))
    lines.push_back(text.substr(0, end));
  return lines;
}

/// Syncs a folder, so that renames in it survive a power failure.
inline void sync_folder(const std::filesystem::path& folder) {
  const std::filesystem::path name = folder.empty() ? "." : folder;
  detail::Descriptor fd(
      detail::retry_interrupted([&] { return ::open(name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
  if (fd.get() < 0) throw Error("cannot open the folder {}: {}", name.string(), std::strerror(errno));
  // File systems that cannot sync folders fail with EINVAL or ENOTSUP, which is ignored.
  if (detail::retry_interrupted([&] { return ::fsync(fd.get()); }) != 0 && errno != EINVAL && errno != ENOTSUP)
    throw Error("cannot sync the folder {}: {}", name.string(), std::strerror(errno));
}

/// File to which lines are appended. The constructor and add() throw Error if it cannot be written. Threads: one at a
/// time.
class AppendFile {
 public:
  enum class Start { anywhere, new_file };

  explicit AppendFile(std::filesystem::path path, Start start = Start::anywhere) : path_(std::move(path)) {
    const int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (start == Start::new_file ? O_EXCL : 0);
    fd_ = detail::Descriptor(detail::retry_interrupted([&] { return ::open(path_.c_str(), flags, 0666); }));
    if (fd_.get() < 0) throw Error("cannot write {}: {}", path_.string(), std::strerror(errno));
  }

  const std::filesystem::path& path() const { return path_; }
  void add(std::string_view text) {
    if (const int error = detail::write_all(fd_.get(), std::as_bytes(std::span(text))))
      throw Error("cannot write {}: {}", path_.string(), std::strerror(error));
  }
  /// Syncs the added lines to the disk.
  void sync() {
    if (detail::retry_interrupted([&] { return ::fsync(fd_.get()); }) != 0)
      throw Error("cannot sync {}: {}", path_.string(), std::strerror(errno));
  }

 private:
  std::filesystem::path path_;
  detail::Descriptor fd_;
};

/// File that appears complete or not at all: written beside its target under a hidden temporary name, synced, then
/// renamed. Without commit() the target is unchanged and the temporary file is removed. Threads: one at a time.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path target) : target_(std::move(target)) {
    for (int attempt = 0;; ++attempt) {
      temporary_ = target_.parent_path() /
                   fmt::format(".{}.{}-{}.tmp", target_.filename().string(), static_cast<long>(::getpid()), attempt);
      fd_ = detail::Descriptor(detail::retry_interrupted(
          [&] { return ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666); }));
      if (fd_.get() >= 0) return;
      if (errno != EEXIST || attempt == 1000)
        throw Error("cannot write {}: {}", target_.string(), std::strerror(errno));
    }
  }
  ~AtomicFile() { discard(); }
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  const std::filesystem::path& path() const { return target_; }
  /// Bytes written so far.
  std::uint64_t size() const { return size_; }
  /// Name, size and hash of the bytes passed to write(), independent of what the disk stores.
  FileRecord record() const { return {target_.filename().string(), size_, hash_.text()}; }

  /// Appends data. Throws Error if the disk is full.
  void write(std::span<const std::byte> data) {
    if (const int error = detail::write_all(fd_.get(), data)) fail("write", error);
    hash_.add(data);
    size_ += data.size();
  }
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }

  /// Syncs and closes the temporary file. Later steps need no disk space.
  void finish() {
    if (fd_.get() < 0) return;
    if (detail::retry_interrupted([&] { return ::fsync(fd_.get()); }) != 0) fail("sync", errno);
    if (const int error = fd_.close()) fail("close", error);
  }

  /// Renames the temporary file to the target. If it throws before the rename, the target is unchanged.
  void commit() {
    finish();
    if (::rename(temporary_.c_str(), target_.c_str()) != 0) fail("publish", errno);
    temporary_.clear();
    sync_folder(target_.parent_path());
  }

 private:
  [[noreturn]] void fail(std::string_view action, int error) {
    discard();
    throw Error("cannot {} {}: {}", action, target_.string(), std::strerror(error));
  }
  void discard() {
    fd_.close();
    if (!temporary_.empty()) ::unlink(temporary_.c_str());
    temporary_.clear();
  }

  std::filesystem::path target_, temporary_;
  detail::Descriptor fd_;
  std::uint64_t size_ = 0;
  FileHash hash_;
};

/// Whether a file name is that of an AtomicFile's temporary file, which a killed process can leave behind.
inline bool is_atomic_leftover(std::string_view name) {
  if (!name.starts_with('.') || !name.ends_with(".tmp")) return false;
  name.remove_suffix(4);
  const auto digits = [&](char before) {
    const std::size_t end = name.find_last_not_of("0123456789");
    if (end == name.npos || end + 1 == name.size() || name[end] != before) return false;
    name = name.substr(0, end);
    return true;
  };
  return digits('-') && digits('.') && name.size() > 1;
}

/// Replaces a file by `text` atomically.
inline FileRecord write_file(const std::filesystem::path& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
  return file.record();
}

}  // namespace moderngpt2
