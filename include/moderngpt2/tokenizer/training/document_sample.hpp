#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <queue>
#include <string>
#include <utility>
#include <vector>

namespace moderngpt2::detail {

/// Uniform random sample of documents, bounded by their bytes. Each document gets a pseudo-random key from the seed and
/// its number; those with the lowest keys that fit are kept. The same documents and seed give the same sample.
class DocumentSample {
 public:
  DocumentSample(std::uint64_t seed, std::size_t most_bytes) : seed_(seed), most_bytes_(most_bytes) {}

  void add(std::string document) {
    const std::uint64_t number = documents_++;
    const std::uint64_t key = mix(seed_ + number * 0x9E3779B97F4A7C15u);
    all_bytes_ += document.size();
    if (key >= bound_) return;
    bytes_ += document.size();
    kept_.push_back({key, number, std::move(document)});
    std::push_heap(kept_.begin(), kept_.end(), by_key);
    while (bytes_ > most_bytes_ && kept_.size() > 1) {
      std::pop_heap(kept_.begin(), kept_.end(), by_key);
      bound_ = kept_.back().key;
      bytes_ -= kept_.back().text.size();
      kept_.pop_back();
    }
  }

  /// The sample in the order of the documents.
  std::vector<std::string> take() {
    std::sort(kept_.begin(), kept_.end(), [](const Kept& a, const Kept& b) { return a.number < b.number; });
    std::vector<std::string> texts;
    for (Kept& kept : kept_) texts.push_back(std::move(kept.text));
    kept_ = {};
    return texts;
  }

  bool is_whole() const { return kept_.size() == documents_; }
  std::uint64_t documents() const { return documents_; }
  std::uint64_t all_bytes() const { return all_bytes_; }
  std::size_t kept() const { return kept_.size(); }
  std::size_t bytes() const { return bytes_; }

 private:
  struct Kept {
    std::uint64_t key, number;
    std::string text;
  };
  static bool by_key(const Kept& a, const Kept& b) { return a.key < b.key; }
  /// Finalizer of splitmix64.
  static std::uint64_t mix(std::uint64_t x) {
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
  }

  std::uint64_t seed_;
  std::size_t most_bytes_, bytes_ = 0;
  std::uint64_t documents_ = 0, all_bytes_ = 0, bound_ = ~std::uint64_t{0};
  std::vector<Kept> kept_;  // heap: the highest key first
};

}  // namespace moderngpt2::detail
