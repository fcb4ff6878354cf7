#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

namespace moderngpt2::detail {

/// Per-thread cache of the ids of recent segments (mostly words), for any number of models. Direct-mapped: a segment
/// has one place, which the next segment with that place overwrites. Memory is constant (2 MiB), and a lookup reads one
/// cache line.
class SegmentCache {
 public:
  static constexpr std::size_t longest_segment = 31;  // bytes
  static constexpr std::size_t most_ids = 7;
  static constexpr std::uint32_t most_models = std::uint32_t{1} << 29;

  /// Key of a segment: its bytes, zero padding, and its length in the last byte.
  struct Key {
    std::uint64_t words[4];

    /// Key of the first `size` bytes of `text`, at most `longest_segment`.
    Key(std::string_view text, std::size_t size) {
      if (text.size() >= sizeof words) {
        static constexpr auto masks = [] {
          struct {
            unsigned char bytes[64];
          } kept{};
          for (std::size_t i = 0; i < 32; ++i) kept.bytes[i] = 0xFF;
          return kept;
        }();
        std::uint64_t mask[4];
        std::memcpy(words, text.data(), sizeof words);
        std::memcpy(mask, masks.bytes + (sizeof words - size), sizeof mask);
        for (std::size_t i = 0; i < 4; ++i) words[i] &= mask[i];
      } else {
        std::memset(words, 0, sizeof words);
        std::memcpy(words, text.data(), size);
      }
      words[3] |= std::uint64_t{size} << 56;
    }

    std::size_t place(std::uint32_t model) const {
      std::uint64_t hash = (words[0] ^ model) * 0x9E3779B97F4A7C15u;
      hash = (hash ^ hash >> 32 ^ words[1]) * 0xD6E8FEB86659FD93u;
      hash = (hash ^ hash >> 32 ^ words[2]) * 0xA0761D6478BD642Fu;
      hash = (hash ^ hash >> 32 ^ words[3]) * 0xE7037ED1A0B428DBu;
      return hash >> (64 - log2_places);
    }
  };

  class Place {
   public:
    /// Whether the place holds this segment's ids for this model.
    bool holds(const Key& key, std::uint32_t model) const {
      return (((key.words[0] ^ words_[0]) | (key.words[1] ^ words_[1]) | (key.words[2] ^ words_[2]) |
               (key.words[3] ^ words_[3])) == 0) &
             (model_and_count_ >> 3 == model);
    }
    /// Stores ids. Returns false, without changes, if they are too many.
    bool store(const Key& key, std::uint32_t model, std::span<const int> ids) {
      if (ids.size() > most_ids) return false;
      std::memcpy(words_, key.words, sizeof words_);
      model_and_count_ = model << 3 | static_cast<std::uint32_t>(ids.size());
      std::copy(ids.begin(), ids.end(), ids_);
      return true;
    }
    std::size_t count() const { return model_and_count_ & 7; }
    const int (&ids() const)[most_ids] { return ids_; }

   private:
    std::uint64_t words_[4] = {};
    std::uint32_t model_and_count_ = 0;  // model numbers begin at 1
    int ids_[most_ids] = {};
  };

  static SegmentCache& of_this_thread() {
    thread_local SegmentCache cache;
    return cache;
  }

  /// Returns the number of a new model; most_models if none is left, and the model must not cache.
  static std::uint32_t next_model() {
    static std::atomic<std::uint32_t> number{0};
    return number < most_models ? ++number : most_models;
  }

  /// Place of a segment for a model number from 1 to most_models - 1.
  Place& operator()(const Key& key, std::uint32_t model) { return places_[key.place(model)].place; }

 private:
  static constexpr int log2_places = 15;
  struct alignas(64) Line {
    Place place;
  };
  static_assert(sizeof(Line) == 64);

  std::vector<Line> places_ = std::vector<Line>(std::size_t{1} << log2_places);
};

}  // namespace moderngpt2::detail
