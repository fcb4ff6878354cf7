#pragma once

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <poll.h>
#include <string>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

#include <netdb.h>

#include "moderngpt2/core/clock.hpp"

namespace moderngpt2::distributed {

/// TCP socket, closed at the end of its scope. Calls fail at a deadline, in seconds of seconds_now(). Threads: one at a
/// time.
class Socket {
 public:
  Socket() = default;
  explicit Socket(int fd) : fd_(fd) {}
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Socket() {
    if (fd_ >= 0) ::close(fd_);
  }

  /// Listens on all addresses of this machine; port 0: the system chooses one. Returns an invalid socket and sets errno
  /// on failure.
  static Socket listening(int port) {
    for (const int family : {AF_INET6, AF_INET}) {  // an IPv6 socket accepts IPv4 connections too
      Socket s(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
      if (!s.is_valid()) continue;
      const int yes = 1, no = 0;
      ::setsockopt(s.fd_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
      if (family == AF_INET6) ::setsockopt(s.fd_, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
      Addresses own(nullptr, port, family, AI_PASSIVE);
      if (!own.first) continue;
      if (::bind(s.fd_, own.first->ai_addr, own.first->ai_addrlen) == 0 && ::listen(s.fd_, 1024) == 0) return s;
      if (errno == EADDRINUSE) return {};
    }
    return {};
  }

  /// Connects, with retries until the deadline. Returns an invalid socket on failure.
  static Socket connected(const std::string& address, int port, double deadline) {
    do {
      Addresses all(address.c_str(), port, AF_UNSPEC, 0);
      for (const addrinfo* a = all.first; a; a = a->ai_next) {
        Socket s(::socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        if (!s.is_valid()) continue;
        if (::connect(s.fd_, a->ai_addr, a->ai_addrlen) != 0 && errno != EINPROGRESS) continue;
        int error = 0;
        socklen_t length = sizeof error;
        if (s.is_ready(POLLOUT, std::min(deadline, seconds_now() + 10)) &&
            ::getsockopt(s.fd_, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error == 0)
          return s;
      }
      ::usleep(100'000);
    } while (seconds_now() < deadline);
    return {};
  }

  /// Accepts the next connection of a listening socket; returns an invalid socket at the deadline.
  Socket accept(double deadline) const {
    while (is_ready(POLLIN, deadline))
      if (Socket s(::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)); s.is_valid()) return s;
    return {};
  }

  bool is_valid() const { return fd_ >= 0; }

  int port() const {
    sockaddr_storage own{};
    socklen_t length = sizeof own;
    char text[16] = {};
    ::getsockname(fd_, reinterpret_cast<sockaddr*>(&own), &length);
    ::getnameinfo(reinterpret_cast<const sockaddr*>(&own), length, nullptr, 0, text, sizeof text, NI_NUMERICSERV);
    return std::atoi(text);
  }

  /// Sends or receives all bytes; returns false if the connection is closed or the deadline passes.
  bool send(const void* data, std::size_t bytes, double deadline) const {
    return transfer(bytes, deadline, POLLOUT, [&](std::size_t done) {
      return ::send(fd_, static_cast<const std::byte*>(data) + done, bytes - done, MSG_NOSIGNAL);
    });
  }
  bool receive(void* data, std::size_t bytes, double deadline) const {
    return transfer(bytes, deadline, POLLIN, [&](std::size_t done) {
      return ::recv(fd_, static_cast<std::byte*>(data) + done, bytes - done, 0);
    });
  }

 private:
  struct Addresses {
    Addresses(const char* name, int port, int family, int flags) {
      addrinfo hints{};
      hints.ai_family = family;
      hints.ai_socktype = SOCK_STREAM;
      hints.ai_flags = flags | AI_NUMERICSERV;
      if (::getaddrinfo(name, std::to_string(port).c_str(), &hints, &first) != 0) first = nullptr;
    }
    Addresses(const Addresses&) = delete;
    ~Addresses() {
      if (first) ::freeaddrinfo(first);
    }
    addrinfo* first = nullptr;
  };

  bool is_ready(short events, double deadline) const {
    for (;;) {
      const double left = deadline - seconds_now();
      if (left <= 0) return false;
      pollfd what{fd_, events, 0};
      if (::poll(&what, 1, int(std::min(left, 3600.0) * 1000) + 1) > 0) return true;
    }
  }

  template <class F>
  bool transfer(std::size_t bytes, double deadline, short events, F&& some) const {
    for (std::size_t done = 0; done < bytes;) {
      if (!is_ready(events, deadline)) return false;
      const ssize_t n = some(done);
      if (n > 0)
        done += std::size_t(n);
      else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        return false;
    }
    return true;
  }

  int fd_ = -1;
};

}  // namespace moderngpt2::distributed
