/// Library for LD_PRELOAD that makes one call of a program fail. It counts the C library's calls on files under a
/// folder, or large memory requests. The k-th call fails, transfers a part, changes a bit, or is the last one of the
/// process. Environment variables:
///
///   FAULT_FOLDER  absolute path: only calls on files in it count
///   FAULT_CALLS   names of the calls that count, with commas around each: ,write,fsync, (nothing: all)
///   FAULT_PATH    only calls on paths that contain this text count
///   FAULT_AT      the call to hit, from 1 (0: none, calls are counted only)
///   FAULT_MODE    error: it fails with FAULT_ERRNO; full: so do all that count from there on; short: half of what was
///                 asked for is read or written; flip: one bit of what is read or written changes; kill: SIGKILL in its
///                 place; torn: SIGKILL after half of a write; power: SIGKILL, and what was not synced is lost
///   FAULT_ALLOC   bytes: not calls on files count, but requests for at least so much memory
///   FAULT_LOG     a file that is given the line "k name path" when the call is hit, and "end N bytes-read" at exit
///   FAULT_CLOCK   how many times too fast clocks run: shortens what a program does for a fixed time

#include <cerrno>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <dirent.h>
#include <fcntl.h>
#include <mutex>
#include <string>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>
#include <utility>

#include <dlfcn.h>

#include "faults/injection.hpp"

using namespace faults;

namespace {

[[gnu::destructor]] void report() {
  if (!settings().log.empty() && (!settings().folder.empty() || settings().allocation > 0))
    log_line("end %ld %ld\n", calls.load(), bytes_read.load());
}

}  // namespace

#define OPEN(name)                                                                         \
  int name(const char* path, int flags, ...) {                                             \
    va_list arguments;                                                                     \
    va_start(arguments, flags);                                                            \
    const mode_t mode = mode_of(flags, arguments);                                         \
    va_end(arguments);                                                                     \
    REAL(name);                                                                            \
    return open_call(AT_FDCWD, path, flags, [&] { return real_call(path, flags, mode); }); \
  }
#define OPENAT(name)                                                                             \
  int name(int folder, const char* path, int flags, ...) {                                       \
    va_list arguments;                                                                           \
    va_start(arguments, flags);                                                                  \
    const mode_t mode = mode_of(flags, arguments);                                               \
    va_end(arguments);                                                                           \
    REAL(name);                                                                                  \
    return open_call(folder, path, flags, [&] { return real_call(folder, path, flags, mode); }); \
  }
#define PREAD(name, offset_type)                                                            \
  ssize_t name(int fd, void* data, size_t size, offset_type offset) {                       \
    REAL(name);                                                                             \
    return transfer("pread", fd, data, size, true,                                          \
                    [&](void* to, std::size_t n) { return real_call(fd, to, n, offset); }); \
  }
#define PWRITE(name, offset_type)                                                               \
  ssize_t name(int fd, const void* data, size_t size, offset_type offset) {                     \
    REAL(name);                                                                                 \
    return transfer("pwrite", fd, const_cast<void*>(data), size, false,                         \
                    [&](void* from, std::size_t n) { return real_call(fd, from, n, offset); }); \
  }
#define STAT(name, status_type)                                                                \
  int name(const char* path, status_type* out) noexcept {                                      \
    REAL(name);                                                                                \
    return simple_call("stat", watched(AT_FDCWD, path), [&] { return real_call(path, out); }); \
  }
#define FSTAT(name, status_type)                                                 \
  int name(int fd, status_type* out) noexcept {                                  \
    REAL(name);                                                                  \
    return simple_call("stat", watched(fd), [&] { return real_call(fd, out); }); \
  }
#define FSTATAT(name, status_type)                                                                          \
  int name(int folder, const char* path, status_type* out, int flags) noexcept {                            \
    REAL(name);                                                                                             \
    return simple_call("stat", watched(folder, path), [&] { return real_call(folder, path, out, flags); }); \
  }
#define READDIR(name, entry_type)                                                  \
  entry_type* name(DIR* folder) {                                                  \
    REAL(name);                                                                    \
    return fails("readdir", watched(dirfd(folder))) ? nullptr : real_call(folder); \
  }

extern "C" {

OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
PREAD(pread, off_t)
PREAD(pread64, off64_t)
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)
STAT(stat, struct stat)
STAT(stat64, struct stat64)
STAT(lstat, struct stat)
STAT(lstat64, struct stat64)
FSTAT(fstat, struct stat)
FSTAT(fstat64, struct stat64)
FSTATAT(fstatat, struct stat)
FSTATAT(fstatat64, struct stat64)
STAT(statvfs, struct statvfs)
STAT(statvfs64, struct statvfs64)
READDIR(readdir, struct dirent)
READDIR(readdir64, struct dirent64)

FILE* fopen(const char* path, const char* mode) {
  REAL(fopen);
  const std::string full = watched(AT_FDCWD, path);
  if (fails("open", full)) return nullptr;
  FILE* const file = real_call(path, mode);
  if (file) opened(fileno(file), full, false);
  return file;
}

DIR* opendir(const char* path) {
  REAL(opendir);
  const std::string full = watched(AT_FDCWD, path);
  if (fails("opendir", full)) return nullptr;
  DIR* const folder = real_call(path);
  if (folder) opened(dirfd(folder), full, false);
  return folder;
}

int closedir(DIR* folder) {
  REAL(closedir);
  if (!watched(dirfd(folder)).empty()) {
    const Inside guard;
    const std::lock_guard lock(unsynced().mutex);
    unsynced().open.erase(dirfd(folder));
  }
  return real_call(folder);
}

int close(int fd) {
  REAL(close);
  const std::string path = watched(fd);
  const bool failed = fails("close", path);
  const int error = errno;
  if (!path.empty()) {
    const Inside guard;
    const std::lock_guard lock(unsynced().mutex);
    unsynced().open.erase(fd);
  }
  const int result = real_call(fd);
  if (failed) errno = error;
  return failed ? -1 : result;
}

ssize_t read(int fd, void* data, size_t size) {
  REAL(read);
  return transfer("read", fd, data, size, true, [&](void* to, std::size_t n) { return real_call(fd, to, n); });
}

ssize_t write(int fd, const void* data, size_t size) {
  REAL(write);
  return transfer("write", fd, const_cast<void*>(data), size, false,
                  [&](void* from, std::size_t n) { return real_call(fd, from, n); });
}

ssize_t writev(int fd, const struct iovec* parts, int number) {
  REAL(writev);
  const std::string path = watched(fd);
  if (fails("writev", path)) return -1;
  const ssize_t n = real_call(fd, parts, number);
  if (n > 0) written(path, n);
  return n;
}

int fsync(int fd) {
  REAL(fsync);
  const std::string path = watched(fd);
  if (fails("fsync", path)) return -1;
  const int result = real_call(fd);
  if (result == 0 && !path.empty()) {
    const Inside guard;
    const std::lock_guard lock(unsynced().mutex);
    unsynced().sync(path);
  }
  return result;
}

int fdatasync(int fd) {
  REAL(fdatasync);
  return simple_call("fsync", watched(fd), [&] { return real_call(fd); });
}

int ftruncate(int fd, off_t size) noexcept {
  REAL(ftruncate);
  return simple_call("ftruncate", watched(fd), [&] { return real_call(fd, size); });
}

int flock(int fd, int operation) noexcept {
  REAL(flock);
  return simple_call("flock", watched(fd), [&] { return real_call(fd, operation); });
}

int rename(const char* from, const char* to) noexcept {
  REAL(rename);
  return rename_call("rename", AT_FDCWD, from, AT_FDCWD, to, false, [&] { return real_call(from, to); });
}

int renameat(int from_fd, const char* from, int to_fd, const char* to) noexcept {
  REAL(renameat);
  return rename_call("rename", from_fd, from, to_fd, to, false, [&] { return real_call(from_fd, from, to_fd, to); });
}

int renameat2(int from_fd, const char* from, int to_fd, const char* to, unsigned flags) noexcept {
  REAL(renameat2);
  return rename_call("rename", from_fd, from, to_fd, to, (flags & RENAME_EXCHANGE) != 0,
                     [&] { return real_call(from_fd, from, to_fd, to, flags); });
}

int unlink(const char* path) noexcept {
  REAL(unlink);
  return simple_call("unlink", watched(AT_FDCWD, path), [&] { return real_call(path); });
}

int unlinkat(int folder, const char* path, int flags) noexcept {
  REAL(unlinkat);
  return simple_call("unlink", watched(folder, path), [&] { return real_call(folder, path, flags); });
}

int remove(const char* path) noexcept {
  REAL(remove);
  return simple_call("unlink", watched(AT_FDCWD, path), [&] { return real_call(path); });
}

int rmdir(const char* path) noexcept {
  REAL(rmdir);
  return simple_call("unlink", watched(AT_FDCWD, path), [&] { return real_call(path); });
}

int mkdir(const char* path, mode_t mode) noexcept {
  REAL(mkdir);
  return make_folder_call(AT_FDCWD, path, [&] { return real_call(path, mode); });
}

int mkdirat(int folder, const char* path, mode_t mode) noexcept {
  REAL(mkdirat);
  return make_folder_call(folder, path, [&] { return real_call(folder, path, mode); });
}

int clock_gettime(clockid_t clock, struct timespec* out) noexcept {
  REAL(clock_gettime);
  const int result = real_call(clock, out);
  const double factor = settings().clock;
  if (result != 0 || factor <= 1 || clock != CLOCK_MONOTONIC) return result;
  static const timespec first = *out;
  const double passed = factor * (double(out->tv_sec - first.tv_sec) + 1e-9 * double(out->tv_nsec - first.tv_nsec));
  const auto nanoseconds = static_cast<std::int64_t>(passed * 1e9) + first.tv_nsec;
  *out = {first.tv_sec + nanoseconds / 1'000'000'000, nanoseconds % 1'000'000'000};
  return result;
}

void* mmap(void* at, size_t size, int protection, int flags, int fd, off_t offset) noexcept {
  REAL(mmap);
  return (flags & MAP_ANONYMOUS) && refused(size) ? MAP_FAILED : real_call(at, size, protection, flags, fd, offset);
}
void* mmap64(void* at, size_t size, int protection, int flags, int fd, off64_t offset) noexcept {
  REAL(mmap64);
  return (flags & MAP_ANONYMOUS) && refused(size) ? MAP_FAILED : real_call(at, size, protection, flags, fd, offset);
}

// Names of the C library's internal functions, because dlsym() requests memory.
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);

void* malloc(size_t size) noexcept { return refused(size) ? nullptr : __libc_malloc(size); }
void* calloc(size_t number, size_t size) noexcept {
  return refused(number * size) ? nullptr : __libc_calloc(number, size);
}
void* realloc(void* old, size_t size) noexcept { return refused(size) ? nullptr : __libc_realloc(old, size); }
void* aligned_alloc(size_t alignment, size_t size) noexcept {
  return refused(size) ? nullptr : __libc_memalign(alignment, size);
}
int posix_memalign(void** out, size_t alignment, size_t size) noexcept {
  if (refused(size)) return ENOMEM;
  *out = __libc_memalign(alignment, size);
  return *out ? 0 : ENOMEM;
}
}
