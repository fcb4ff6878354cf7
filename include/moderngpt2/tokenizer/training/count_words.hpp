#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/start_thread.hpp"
#include "moderngpt2/tokenizer/training/settings.hpp"
#include "moderngpt2/tokenizer/training/word_counts.hpp"

namespace moderngpt2::detail {

/// Threads that take groups of documents from a short queue. An exception of a thread is thrown in the calling thread.
class DocumentThreads {
 public:
  using Documents = std::vector<std::string>;

  /// `make_work()` is called once for each thread; the function that it returns is called for each group.
  DocumentThreads(int threads, const std::function<std::function<void(Documents&)>()>& make_work)
      : most_waiting_(static_cast<std::size_t>(threads) * 2) {
    try {
      for (int i = 0; i < threads; ++i)
        threads_.push_back(start_thread<std::thread>([this, work = make_work()] { run(work); }));
    } catch (...) {
      stop();
      throw;
    }
  }
  DocumentThreads(const DocumentThreads&) = delete;
  DocumentThreads& operator=(const DocumentThreads&) = delete;
  ~DocumentThreads() { stop(); }

  void give(Documents documents) {
    std::unique_lock lock(mutex_);
    taken_.wait(lock, [&] { return waiting_.size() < most_waiting_ || error_; });
    if (error_) std::rethrow_exception(error_);
    waiting_.push_back(std::move(documents));
    ++unfinished_;
    given_.notify_one();
  }
  /// Waits until all groups are done.
  void finish() {
    std::unique_lock lock(mutex_);
    taken_.wait(lock, [&] { return unfinished_ == 0 || error_; });
    if (error_) std::rethrow_exception(error_);
  }

 private:
  void run(const std::function<void(Documents&)>& work) {
    while (true) {
      Documents documents;
      {
        std::unique_lock lock(mutex_);
        given_.wait(lock, [&] { return !waiting_.empty() || ended_; });
        if (ended_) return;
        documents = std::move(waiting_.front());
        waiting_.pop_front();
        taken_.notify_all();
      }
      std::exception_ptr error;
      try {
        work(documents);
      } catch (...) {
        error = std::current_exception();
      }
      const std::lock_guard lock(mutex_);
      --unfinished_;
      if (error && !error_) error_ = error;
      taken_.notify_all();
    }
  }
  void stop() {
    {
      const std::lock_guard lock(mutex_);
      ended_ = true;
    }
    given_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  std::size_t most_waiting_;
  std::mutex mutex_;
  std::condition_variable given_, taken_;
  std::deque<Documents> waiting_;
  std::size_t unfinished_ = 0;
  bool ended_ = false;
  std::exception_ptr error_;
  std::vector<std::thread> threads_;
};

/// Words of rare occurrence that were dropped to bound the memory.
struct DroppedWords {
  std::uint64_t highest_count = 0;  ///< a dropped word occurred at most as often at its time; 0: none was dropped
  std::uint64_t words = 0, times = 0;
};

/// Counts the words of all documents that `read` gives, with `threads` threads besides the calling one.
/// `make_split()` gives each thread its function split(document, emit_word), which may change the document. While the
/// table would exceed `most_bytes`, the rarest words are dropped after calling dropped(word, count) for each. When that
/// happens depends only on the documents, so that the counts do not depend on the number of threads.
template <class MakeSplit, class Dropped>
DroppedWords count_words(WordCounts& counts, const std::function<bool(std::string&)>& read, int threads,
                         std::size_t most_bytes, MakeSplit&& make_split, Dropped&& dropped) {
  constexpr std::size_t group_bytes = std::size_t{1} << 21;
  // A byte of text adds at most the size of a word of one byte.
  const std::size_t growth = WordShard::size_of("x");
  DocumentThreads workers(threads, [&] {
    return [batch = std::make_shared<WordCounts::Batch>(counts),
            split = make_split()](DocumentThreads::Documents& documents) mutable {
      for (std::string& document : documents) split(document, [&](std::string_view word) { batch->add(word); });
      batch->flush();
    };
  });
  DroppedWords result;
  std::size_t group = 0, unchecked = 0, bytes = 0;
  DocumentThreads::Documents documents;
  const auto give = [&] {
    unchecked += group;
    workers.give(std::exchange(documents, {}));
    group = 0;
    // Real text adds less than 8 bytes per byte; a check may come late by the memory of one group.
    if (bytes + unchecked * std::min<std::size_t>(growth, 4) < most_bytes) return;
    workers.finish();
    unchecked = 0;
    bytes = counts.bytes();
    if (bytes < most_bytes - most_bytes / 8) return;
    result.highest_count = std::max(result.highest_count, counts.drop_rare(most_bytes / 2, [&](auto word, auto count) {
      ++result.words;
      dropped(word, count);
    }));
    ++result.times;
    bytes = counts.bytes();
  };
  for (std::string document; read(document);) {
    group += document.size();
    documents.push_back(std::move(document));
    document.clear();
    if (group >= group_bytes) give();
  }
  if (!documents.empty()) give();
  workers.finish();
  return result;
}

inline void note_dropped(const TokenizerTraining& training, const DroppedWords& dropped) {
  if (dropped.highest_count == 0 || !training.note) return;
  training.note(fmt::format("dropped {} rare words, counted at most {} times so far, in {} passes: {} is {:.1f} GiB",
                            dropped.words, dropped.highest_count, dropped.times, Setting{"max_memory"},
                            static_cast<double>(training.max_memory) / (1 << 30)));
}

}  // namespace moderngpt2::detail
