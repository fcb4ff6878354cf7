#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace moderngpt2::detail {

/// The ids of segments (mostly words) seen lately by one thread, for one model. Words repeat so much that most of
/// them are never merged twice. Bounded: it is emptied when full.
class SegmentCache {
 public:
  static constexpr std::size_t longest_segment = 96;  // bytes
  static constexpr std::size_t most_segments = std::size_t{1} << 16;

  /// The calling thread's cache, emptied if another model used it last.
  static SegmentCache& of_this_thread(std::uint64_t model_serial) {
    thread_local SegmentCache cache;
    if (cache.model_serial_ != model_serial) {
      cache.clear();
      cache.model_serial_ = model_serial;
    }
    return cache;
  }

  bool append_to(std::string_view segment, std::vector<int>& ids) const {
    const auto found = places_.find(segment);
    if (found == places_.end()) return false;
    const auto begin = ids_.begin() + found->second.begin;
    ids.insert(ids.end(), begin, begin + found->second.count);
    return true;
  }

  void store(std::string_view segment, std::span<const int> ids) {
    if (places_.size() >= most_segments) clear();
    places_.emplace(segment, Place{static_cast<std::ptrdiff_t>(ids_.size()), static_cast<std::ptrdiff_t>(ids.size())});
    ids_.insert(ids_.end(), ids.begin(), ids.end());
  }

 private:
  struct Place {
    std::ptrdiff_t begin, count;
  };
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };

  void clear() {
    places_.clear();
    ids_.clear();
  }

  std::uint64_t model_serial_ = 0;
  std::unordered_map<std::string, Place, Hash, std::equal_to<>> places_;
  std::vector<int> ids_;
};

}  // namespace moderngpt2::detail
