#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <string_view>
#include <utility>
#include <vector>

#if !__has_include(<xxhash.h>)
#error "moderngpt2: <xxhash.h> not found: link moderngpt2::moderngpt2"
#endif
#include <xxhash.h>

namespace moderngpt2::detail {

/// Part of a table of words with their counts: the words whose hashes have the same highest bits.
class WordShard {
 public:
  void add(std::string_view word, std::uint64_t hash, std::uint64_t count) {
    if ((words_ + 1) * 4 > slots_.size() * 3) grow();
    const std::uint64_t tag = hash << 48;
    for (std::size_t at = hash & (slots_.size() - 1);; at = (at + 1) & (slots_.size() - 1)) {
      if (slots_[at] == 0) {
        slots_[at] = tag | store(word, count);
        ++words_;
        return;
      }
      if ((slots_[at] ^ tag) >> 48 != 0) continue;
      char* const record = at_offset(slots_[at] & offset_mask);
      if (text_of(record) != word) continue;
      set_count(record, count_of(record) + count);
      return;
    }
  }

  void prefetch(std::uint64_t hash) const {
    if (!slots_.empty()) __builtin_prefetch(&slots_[hash & (slots_.size() - 1)]);
  }

  /// Calls f(word, count) for each word, in an order that depends on the order of add().
  template <class F>
  void for_each(F&& f) const {
    for (std::size_t block = 0; block < blocks_.size(); ++block) {
      const char* record = blocks_[block].get() + (block == 0);
      const char* const end = blocks_[block].get() + (block + 1 == blocks_.size() ? used_ : ends_[block]);
      while (record != end) {
        const std::string_view text = text_of(record);
        f(text, count_of(record));
        record += record_size(text.size());
      }
    }
  }

  /// Keeps the words with a count above `most`; calls dropped(word, count) for the others.
  template <class F>
  void drop_rare(std::uint64_t most, F&& dropped) {
    WordShard kept;
    for_each([&](std::string_view word, std::uint64_t count) {
      if (count > most)
        kept.add(word, hash_of(word), count);
      else
        dropped(word, count);
    });
    swap_contents(kept);
  }

  void clear() {
    WordShard none;
    swap_contents(none);
  }

  static std::uint64_t hash_of(std::string_view word) { return XXH3_64bits(word.data(), word.size()); }

  /// Approximate memory of a word in bytes, its slot included.
  static std::size_t size_of(std::string_view word) { return record_size(word.size()) + 2 * sizeof(std::uint64_t); }
  std::size_t words() const { return words_; }
  /// Sum of size_of() over the words.
  std::size_t bytes() const { return bytes_; }

  std::mutex mutex;

 private:
  // A record: count (8 bytes), length (4), text. Its offset, from 1, is its block's number and its place there.
  static constexpr std::size_t header_size = 12, block_bits = 16, block_size = std::size_t{1} << block_bits;
  static constexpr std::uint64_t offset_mask = (std::uint64_t{1} << 48) - 1;

  static std::size_t record_size(std::size_t length) { return header_size + length; }

  void swap_contents(WordShard& other) {
    slots_.swap(other.slots_);
    blocks_.swap(other.blocks_);
    std::swap(words_, other.words_);
    std::swap(used_, other.used_);
    std::swap(bytes_, other.bytes_);
    ends_.swap(other.ends_);
  }
  char* at_offset(std::uint64_t offset) const {
    return blocks_[offset >> block_bits].get() + (offset & (block_size - 1));
  }
  static std::uint64_t count_of(const char* record) {
    std::uint64_t count;
    std::memcpy(&count, record, sizeof count);
    return count;
  }
  static void set_count(char* record, std::uint64_t count) { std::memcpy(record, &count, sizeof count); }
  static std::string_view text_of(const char* record) {
    std::uint32_t length;
    std::memcpy(&length, record + 8, sizeof length);
    return {record + header_size, length};
  }

  std::uint64_t store(std::string_view word, std::uint64_t count) {
    const std::size_t size = record_size(word.size());
    if (blocks_.empty() || used_ + size > block_size) {  // a word larger than a block has one of its own
      if (!blocks_.empty()) ends_.push_back(used_);
      used_ = blocks_.empty() ? 1 : 0;  // offset 0 marks an empty slot
      blocks_.emplace_back(new char[std::max(used_ + size, block_size)]);
    }
    const std::uint64_t offset = (std::uint64_t{blocks_.size() - 1} << block_bits) | used_;
    char* const record = at_offset(offset);
    set_count(record, count);
    const auto length = static_cast<std::uint32_t>(word.size());
    std::memcpy(record + 8, &length, sizeof length);
    std::memcpy(record + header_size, word.data(), word.size());
    used_ += size;
    bytes_ += size_of(word);
    return offset;
  }

  void grow() {
    std::vector<std::uint64_t> old(std::max<std::size_t>(64, slots_.size() * 2));
    old.swap(slots_);
    for (const std::uint64_t slot : old)
      if (slot != 0) {
        std::size_t at = hash_of(text_of(at_offset(slot & offset_mask))) & (slots_.size() - 1);
        while (slots_[at] != 0) at = (at + 1) & (slots_.size() - 1);
        slots_[at] = slot;
      }
  }

  std::vector<std::uint64_t> slots_;  // hash bits and offset; 0: empty
  std::vector<std::unique_ptr<char[]>> blocks_;
  std::vector<std::size_t> ends_;  // bytes used of each block but the last
  std::size_t words_ = 0, used_ = 0, bytes_ = 0;
};

/// Words with their counts, which threads may add to at the same time through a Batch each.
class WordCounts {
 public:
  static constexpr std::size_t shard_count = 64;

  /// Words of one thread that are not in the table yet. Frequent short words are counted in a small cache, and the
  /// others are grouped by shard, so that a thread locks rarely and works on a small part of memory at a time.
  class Batch {
   public:
    explicit Batch(WordCounts& counts) : counts_(counts), recent_(new Recent[recent_count]()) {
      for (Buffer& buffer : buffers_) buffer.bytes.reset(new char[buffer_size]);
    }

    void add(std::string_view word) {
      const std::uint64_t hash = WordShard::hash_of(word);
      if (word.size() > Recent::longest) {
        put(word, hash, 1);
        return;
      }
      Recent& recent = recent_[hash % recent_count];
      if (recent.hash == hash && recent.view() == word && recent.count != ~std::uint32_t{0}) {
        ++recent.count;
        return;
      }
      if (recent.count > 0) put(recent.view(), recent.hash, recent.count);
      recent.hash = hash;
      recent.count = 1;
      recent.length = static_cast<std::uint32_t>(word.size());
      std::memcpy(recent.text, word.data(), word.size());
    }
    /// Moves all words to the table.
    void flush() {
      for (std::size_t i = 0; i < recent_count; ++i)
        if (Recent& recent = recent_[i]; recent.count > 0) {
          put(recent.view(), recent.hash, recent.count);
          recent.count = 0;
        }
      for (std::size_t shard = 0; shard < shard_count; ++shard) flush(shard);
    }

   private:
    struct Recent {
      static constexpr std::size_t longest = 24;
      std::uint64_t hash;
      std::uint32_t count, length;
      char text[longest];
      std::string_view view() const { return {text, length}; }
    };
    struct Header {
      std::uint64_t hash;
      std::uint32_t count, length;
    };
    struct Buffer {
      std::unique_ptr<char[]> bytes;
      std::size_t size = 0;
    };
    static constexpr std::size_t recent_count = 8192, buffer_size = std::size_t{1} << 15, ahead = 8;

    void put(std::string_view word, std::uint64_t hash, std::uint32_t count) {
      const std::size_t shard = hash >> 58;
      const std::size_t size = sizeof(Header) + word.size();
      if (size > buffer_size) {
        const std::lock_guard lock(counts_.shards_[shard].mutex);
        counts_.shards_[shard].add(word, hash, count);
        return;
      }
      Buffer& buffer = buffers_[shard];
      if (buffer.size + size > buffer_size) flush(shard);
      const Header header{hash, count, static_cast<std::uint32_t>(word.size())};
      std::memcpy(buffer.bytes.get() + buffer.size, &header, sizeof header);
      std::memcpy(buffer.bytes.get() + buffer.size + sizeof header, word.data(), word.size());
      buffer.size += size;
    }

    void flush(std::size_t number) {
      Buffer& buffer = buffers_[number];
      WordShard& shard = counts_.shards_[number];
      const std::lock_guard lock(shard.mutex);
      const auto header_at = [&](std::size_t at) {
        Header header;
        std::memcpy(&header, buffer.bytes.get() + at, sizeof header);
        return header;
      };
      std::size_t reached = 0;  // end of the words whose slots are fetched
      for (std::size_t at = 0, n = 0; at < buffer.size; ++n) {
        for (std::size_t i = 0; i < (n == 0 ? ahead : 1) && reached < buffer.size; ++i) {
          const Header header = header_at(reached);
          shard.prefetch(header.hash);
          reached += sizeof header + header.length;
        }
        const Header header = header_at(at);
        shard.add({buffer.bytes.get() + at + sizeof header, header.length}, header.hash, header.count);
        at += sizeof header + header.length;
      }
      buffer.size = 0;
    }

    WordCounts& counts_;
    std::unique_ptr<Recent[]> recent_;
    Buffer buffers_[shard_count];
  };

  template <class F>
  void for_each(F&& f) const {
    for (const WordShard& shard : shards_) shard.for_each(f);
  }
  /// Calls f(word, count) for each word, and frees the table meanwhile.
  template <class F>
  void consume(F&& f) {
    for (WordShard& shard : shards_) {
      shard.for_each(f);
      shard.clear();
    }
  }
  std::size_t words() const {
    std::size_t sum = 0;
    for (const WordShard& shard : shards_) sum += shard.words();
    return sum;
  }
  /// Approximate memory in bytes. Depends only on the words, not on the order in which they came.
  std::size_t bytes() const {
    std::size_t sum = 0;
    for (const WordShard& shard : shards_) sum += shard.bytes();
    return sum;
  }

  /// Drops the rarest words until at most `most_bytes` remain: all words up to the smallest count that suffices, which
  /// is returned. Which words these are depends only on the words added so far. Calls dropped(word, count) for each.
  template <class F>
  std::uint64_t drop_rare(std::size_t most_bytes, F&& dropped) {
    std::map<std::uint64_t, std::size_t> bytes;  // by count
    for_each([&](std::string_view word, std::uint64_t count) { bytes[count] += WordShard::size_of(word); });
    std::size_t kept = 0;
    std::uint64_t most = 0;
    for (auto at = bytes.rbegin(); at != bytes.rend() && most == 0; ++at)
      if ((kept += at->second) > most_bytes) most = at->first;
    for (WordShard& shard : shards_) shard.drop_rare(most, dropped);
    return most;
  }

 private:
  WordShard shards_[shard_count];
};

}  // namespace moderngpt2::detail
