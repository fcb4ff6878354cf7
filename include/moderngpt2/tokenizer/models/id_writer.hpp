#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <vector>

namespace moderngpt2::detail {

/// Appends ids to a vector through a small buffer, because a segment has only one to three ids and push_back costs more
/// than the ids themselves. Call flush() at the end.
class IdWriter {
 public:
  explicit IdWriter(std::vector<int>& ids) : ids_(ids) {}

  void add(int id) {
    if (used_ == buffer_.size()) flush();
    buffer_[used_++] = id;
  }

  /// Appends the first `count` of N ids.
  template <std::size_t N>
  void add(const int (&ids)[N], std::size_t count) {
    if (used_ + N > buffer_.size()) flush();
    for (std::size_t i = 0; i < N; ++i) buffer_[used_ + i] = ids[i];
    used_ += count;
  }

  void add(std::span<const int> ids) {
    for (const int id : ids) add(id);
  }

  /// Empties the buffer. Returns the vector, to which ids may be appended directly.
  std::vector<int>& flush() {
    ids_.insert(ids_.end(), buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(used_));
    used_ = 0;
    return ids_;
  }

 private:
  std::vector<int>& ids_;
  std::size_t used_ = 0;
  std::array<int, 1024> buffer_;
};

}  // namespace moderngpt2::detail
