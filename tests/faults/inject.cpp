/// A library for LD_PRELOAD that makes one call of a program go wrong: the C library's calls on files under a folder,
/// or large requests for memory, are counted, and the k-th fails, is done in part, changes a bit, or is the last thing
/// the process does. Environment variables say what:
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

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <dirent.h>
#include <fcntl.h>
#include <filesystem>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include <dlfcn.h>

namespace {

const char* text_of(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

struct Settings {
  std::string_view folder = text_of("FAULT_FOLDER"), calls = text_of("FAULT_CALLS"), path = text_of("FAULT_PATH"),
                   mode = text_of("FAULT_MODE"), log = text_of("FAULT_LOG");
  long at = std::atol(text_of("FAULT_AT"));
  int error = std::atoi(text_of("FAULT_ERRNO"));
  std::size_t allocation = std::strtoull(text_of("FAULT_ALLOC"), nullptr, 10);
  double clock = std::atof(text_of("FAULT_CLOCK"));
};

std::atomic<long> calls{0}, bytes_read{0};
thread_local bool inside = false;  // what this library does itself does not count

struct Inside {
  bool before = std::exchange(inside, true);
  ~Inside() { inside = before; }
};

/// Never destroyed: calls come before and after everything else.
const Settings& settings() {
  static const Settings* const s = [] {
    const Inside guard;
    return new Settings;
  }();
  return *s;
}

/// To the log, past all that is replaced here.
void log_line(const char* format, ...) {
  if (settings().log.empty()) return;
  char line[4500];
  va_list arguments;
  va_start(arguments, format);
  const int n = std::min(std::vsnprintf(line, sizeof line, format, arguments), int(sizeof line) - 1);
  va_end(arguments);
  const long fd = syscall(SYS_openat, AT_FDCWD, settings().log.data(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (fd < 0) return;
  (void)!syscall(SYS_write, fd, line, n);
  syscall(SYS_close, fd);
}

/// What a loss of power would take: the data of files that were not synced, names in folders that were not synced.
struct Unsynced {
  std::mutex mutex;
  std::map<int, std::string> open;              // descriptors of files in the folder
  std::map<std::string, std::uint64_t> synced;  // bytes that are safe, of files with more than these
  std::set<std::string> names;                  // new names whose folder was not synced

  static std::string parent(const std::string& path) { return path.substr(0, path.rfind('/')); }

  void sync(const std::string& path) {
    synced.erase(path);
    std::erase_if(names, [&](const std::string& name) { return parent(name) == path; });
  }
  void rename(const std::string& from, const std::string& to, bool replaces) {
    const auto moved = [&](const std::string& path) {
      return path == from || path.starts_with(from + "/") ? to + path.substr(from.size()) : path;
    };
    std::map<std::string, std::uint64_t> new_synced;
    for (const auto& [path, bytes] : synced) new_synced[moved(path)] = bytes;
    std::set<std::string> new_names;
    for (const std::string& path : names) new_names.insert(moved(path));
    if (replaces)
      new_names.erase(to);
    else
      new_names.insert(to);
    for (auto& [fd, path] : open) path = moved(path);
    synced = std::move(new_synced), names = std::move(new_names);
  }
  void lose() {
    std::error_code ignored;
    for (const std::string& name : names) std::filesystem::remove_all(name, ignored);
    for (const auto& [path, bytes] : synced)
      if (std::filesystem::exists(path, ignored)) (void)!::truncate(path.c_str(), off_t(bytes));
  }
};

Unsynced& unsynced() {
  static Unsynced* const u = new Unsynced;
  return *u;
}

[[noreturn]] void die() {
  syscall(SYS_kill, getpid(), SIGKILL);
  for (;;) pause();
}

/// The absolute path of a call that is to be watched, else nothing.
std::string watched(int folder_fd, const char* path) {
  const std::string_view folder = settings().folder;
  if (inside || folder.empty() || !path) return {};
  const Inside guard;
  std::string full = path;
  if (full.empty() || full[0] != '/') {
    const std::lock_guard lock(unsynced().mutex);
    const auto found = unsynced().open.find(folder_fd);
    if (found == unsynced().open.end()) return {};
    full = full.empty() ? found->second : found->second + "/" + full;
  }
  if (!full.starts_with(folder) || (full.size() > folder.size() && full[folder.size()] != '/')) return {};
  return full;
}

std::string watched(int fd) {
  if (inside || settings().folder.empty()) return {};
  const Inside guard;
  const std::lock_guard lock(unsynced().mutex);
  const auto found = unsynced().open.find(fd);
  return found == unsynced().open.end() ? std::string() : found->second;
}

void opened(int fd, const std::string& path, bool is_new) {
  if (fd < 0 || path.empty()) return;
  const Inside guard;
  const std::lock_guard lock(unsynced().mutex);
  unsynced().open[fd] = path;
  if (is_new) unsynced().names.insert(path);
}

void written(const std::string& path) {
  if (path.empty()) return;
  const Inside guard;
  const std::lock_guard lock(unsynced().mutex);
  unsynced().synced.try_emplace(path, 0);
}

enum class Fault { none, error, shorten, flip, torn };

/// Counts a call and says what is to go wrong with it.
Fault count(const char* name, const std::string& path) {
  const Settings& s = settings();
  if (path.empty() || inside || s.allocation > 0) return Fault::none;
  const Inside guard;
  if (!s.calls.empty() && s.calls.find("," + std::string(name) + ",") == s.calls.npos) return Fault::none;
  if (!s.path.empty() && path.find(s.path) == path.npos) return Fault::none;
  const long k = ++calls;
  if (s.at == 0 || k < s.at || (k > s.at && s.mode != "full")) return Fault::none;
  if (k == s.at) log_line("%ld %s %s\n", k, name, path.c_str());
  if (s.mode == "kill") die();
  if (s.mode == "power") {
    const std::lock_guard lock(unsynced().mutex);
    unsynced().lose();
    die();
  }
  if (s.mode == "torn") return Fault::torn;
  if (s.mode == "short") return Fault::shorten;
  if (s.mode == "flip") return Fault::flip;
  errno = s.error;
  return Fault::error;
}

/// Whether a call without data is to fail: what only makes sense with data ends the process, or does nothing.
bool fails(const char* name, const std::string& path) {
  const Fault fault = count(name, path);
  if (fault == Fault::torn) die();
  return fault == Fault::error;
}

template <class Function>
Function* real(Function*, const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}
#define REAL(name) static const auto real_call = real(&name, #name)

/// A transfer of `size` bytes, for which `call` is given a buffer and a size. `in`: a read.
template <class Call>
ssize_t transfer(const char* name, int fd, void* data, std::size_t size, bool in, Call&& call) {
  const std::string path = watched(fd);
  const Fault fault = count(name, path);
  if (fault == Fault::error) return -1;
  if ((fault == Fault::shorten || fault == Fault::torn) && size > 1) size /= 2;
  std::vector<char> copy;
  if (fault == Fault::flip && !in) {
    const Inside guard;
    copy.assign(static_cast<char*>(data), static_cast<char*>(data) + size);
    if (size > 0) copy[size / 2] ^= 1;
    data = copy.data();
  }
  const ssize_t n = call(data, size);
  if (fault == Fault::torn) die();
  if (fault == Fault::flip && in && n > 0) static_cast<char*>(data)[n / 2] ^= 1;
  if (n > 0 && in && !path.empty()) bytes_read += n;
  if (n > 0 && !in) written(path);
  return n;
}

template <class Call>
int open_call(int folder, const char* name, int flags, Call&& call) {
  const std::string path = watched(folder, name);
  if (fails((flags & O_DIRECTORY) ? "opendir" : "open", path)) return -1;
  struct stat before {};
  const bool is_new = !path.empty() && (flags & O_CREAT) && fstatat(AT_FDCWD, path.c_str(), &before, 0) != 0;
  const int fd = call();
  opened(fd, path, is_new);
  return fd;
}

template <class Call>
int rename_call(const char* name, int from_fd, const char* from, int to_fd, const char* to, bool swap, Call&& call) {
  const std::string a = watched(from_fd, from), b = watched(to_fd, to);
  if (fails(name, b)) return -1;
  struct stat before {};
  const bool replaces = !b.empty() && syscall(SYS_newfstatat, AT_FDCWD, b.c_str(), &before, 0) == 0;
  const int result = call();
  if (result == 0 && !a.empty() && !b.empty()) {
    const Inside guard;
    const std::lock_guard lock(unsynced().mutex);
    if (swap) unsynced().rename(b, b + "//", true);
    unsynced().rename(a, b, replaces);
    if (swap) unsynced().rename(b + "//", a, true);
  }
  return result;
}

template <class Call>
int make_folder_call(int fd, const char* name, Call&& call) {
  const std::string path = watched(fd, name);
  if (fails("mkdir", path)) return -1;
  const int result = call();
  if (result == 0 && !path.empty()) {
    const Inside guard;
    const std::lock_guard lock(unsynced().mutex);
    unsynced().names.insert(path);
  }
  return result;
}

template <class Call>
int simple_call(const char* name, const std::string& path, Call&& call) {
  return fails(name, path) ? -1 : call();
}

mode_t mode_of(int flags, va_list arguments) {
  return (flags & (O_CREAT | O_TMPFILE)) ? static_cast<mode_t>(va_arg(arguments, int)) : 0;
}

/// Whether a request for so much memory is to be refused.
bool refused(std::size_t bytes) {
  if (inside) return false;
  const Inside guard;
  const Settings& s = settings();
  if (s.allocation == 0 || bytes < s.allocation) return false;
  const long k = ++calls;
  if (k != s.at) return false;
  log_line("%ld memory %zu\n", k, bytes);
  errno = ENOMEM;
  return true;
}

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
  if (n > 0) written(path);
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

// The C library's own names, since dlsym() itself asks for memory.
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
