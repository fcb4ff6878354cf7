#pragma once

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <optional>
#include <poll.h>
#include <string>
#include <string_view>
#include <unistd.h>
#include <utility>

#include "moderngpt2/cli/input_text.hpp"
#include "moderngpt2/cli/interrupt.hpp"
#include "moderngpt2/core/error.hpp"

namespace moderngpt2 {

/// Reads lines from a file descriptor, such as standard input. Unlike standard streams, it stops waiting for input
/// after a signal.
class InputLines {
 public:
  explicit InputLines(int descriptor) : descriptor_(descriptor) {}

  /// Returns the next line without its end (LF or CRLF), or nullopt at the end of the input or after a signal that
  /// stops the program (interrupted()).
  std::optional<std::string> next() {
    while (true) {
      if (interrupted()) return std::nullopt;
      if (const std::size_t end = text_.find('\n'); end != text_.npos) return take(end, end + 1);
      if (at_end_) {
        if (text_.empty()) return std::nullopt;
        return take(text_.size(), text_.size());
      }
      // The signal may have been delivered to another thread, which does not wake this one: poll ten times per second.
      pollfd wait{descriptor_, POLLIN, 0};
      if (::poll(&wait, 1, 100) > 0) read();
    }
  }

 private:
  void read() {
    char block[4096];
    const ssize_t count = ::read(descriptor_, block, sizeof block);
    if (count < 0 && errno != EINTR && errno != EAGAIN)
      throw Error("cannot read standard input: {}", std::strerror(errno));
    if (count == 0) at_end_ = true;
    if (count > 0) text_.append(block, std::size_t(count));
  }

  std::string take(std::size_t length, std::size_t used) {
    std::string line(without_line_end(std::string_view(text_).substr(0, length)));
    text_.erase(0, used);
    return line;
  }

  int descriptor_;
  std::string text_;
  bool at_end_ = false;
};

}  // namespace moderngpt2
