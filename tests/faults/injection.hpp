#pragma once

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <dirent.h>
#include <fcntl.h>
#include <filesystem>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include <dlfcn.h>

/// Fault to inject, and when: see inject.cpp.
namespace faults {

inline const char* text_of(const char* name) {
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

inline std::atomic<long> calls{0}, bytes_read{0};
inline thread_local bool inside = false;  // calls of this library do not count

struct Inside {
  bool before = std::exchange(inside, true);
  ~Inside() { inside = before; }
};

/// Never destroyed, because calls come before and after all other code.
inline const Settings& settings() {
  static const Settings* const s = [] {
    const Inside guard;
    return new Settings;
  }();
  return *s;
}

/// Writes to the log without the replaced functions.
inline void log_line(const char* format, ...) {
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

/// State that a loss of power would destroy: unsynced file data, and names in unsynced folders.
struct Unsynced {
  std::mutex mutex;
  std::map<int, std::string> open;              // paths by descriptors of files in the folder
  std::map<std::string, std::uint64_t> synced;  // synced bytes of files that are longer
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

inline Unsynced& unsynced() {
  static Unsynced* const u = new Unsynced;
  return *u;
}

[[noreturn]] inline void die() {
  syscall(SYS_kill, getpid(), SIGKILL);
  for (;;) pause();
}

/// Absolute path of a call to be counted, else "".
inline std::string watched(int folder_fd, const char* path) {
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

inline std::string watched(int fd) {
  if (inside || settings().folder.empty()) return {};
  const Inside guard;
  const std::lock_guard lock(unsynced().mutex);
  const auto found = unsynced().open.find(fd);
  return found == unsynced().open.end() ? std::string() : found->second;
}

inline void opened(int fd, const std::string& path, bool is_new) {
  if (fd < 0 || path.empty()) return;
  const Inside guard;
  const std::lock_guard lock(unsynced().mutex);
  unsynced().open[fd] = path;
  if (is_new) unsynced().names.insert(path);
}

/// After a write of n bytes to the end of a file: what it had before stays synced.
inline void written(const std::string& path, ssize_t n) {
  if (path.empty()) return;
  const Inside guard;
  const std::lock_guard lock(unsynced().mutex);
  std::error_code ignored;
  const std::uint64_t size = std::filesystem::file_size(path, ignored);
  unsynced().synced.try_emplace(path, !ignored && size > std::uint64_t(n) ? size - std::uint64_t(n) : 0);
}

enum class Fault { none, error, shorten, flip, torn };

/// Counts a call and returns its fault.
inline Fault count(const char* name, const std::string& path) {
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

/// Whether a call without data fails. Faults that only apply to data end the process, or do nothing.
inline bool fails(const char* name, const std::string& path) {
  const Fault fault = count(name, path);
  if (fault == Fault::torn) die();
  return fault == Fault::error;
}

template <class Function>
Function* real(Function*, const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}
#define REAL(name) static const auto real_call = real(&name, #name)

/// Transfer of `size` bytes by `call`, which receives a buffer and a size. `in`: a read.
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
  if (n > 0 && !in) written(path, n);
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

inline mode_t mode_of(int flags, va_list arguments) {
  return (flags & (O_CREAT | O_TMPFILE)) ? static_cast<mode_t>(va_arg(arguments, int)) : 0;
}

/// Whether a memory request of this size is refused.
inline bool refused(std::size_t bytes) {
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

}  // namespace faults
