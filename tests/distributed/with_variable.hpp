#pragma once

#include <cstdlib>

namespace moderngpt2::distributed {

/// Sets a variable of the environment while in scope.
class WithVariable {
 public:
  WithVariable(const char* name, const char* value) : name_(name) { ::setenv(name, value, 1); }
  ~WithVariable() { ::unsetenv(name_); }
  WithVariable(const WithVariable&) = delete;
  WithVariable& operator=(const WithVariable&) = delete;

 private:
  const char* name_;
};

}  // namespace moderngpt2::distributed
