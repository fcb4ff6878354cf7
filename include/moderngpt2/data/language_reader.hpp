#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/core/start_thread.hpp"
#include "moderngpt2/data/bounded_queue.hpp"
#include "moderngpt2/data/document_reader.hpp"
#include "moderngpt2/data/source_options.hpp"
#include "moderngpt2/data/text_files.hpp"

namespace moderngpt2 {

/// Result of reading the files of one language: a document, or position and reason of a skipped line.
struct Reading {
  enum class Kind { document, skipped, empty_file };
  Kind kind = Kind::document;
  Document document;
  std::string reason;
  std::int64_t bytes_read = 0;  ///< compressed bytes of the language's files
  std::size_t file = 0;         ///< index in the language's files
  TextBytes text_bytes{};       ///< bytes of the document or the skipped line
};

/// Stream of readings. Threads: one at a time.
class ReadingStream {
 public:
  virtual ~ReadingStream() = default;
  /// Reads the next item. Returns false at the end. Throws Error if a file cannot be read.
  virtual bool next(Reading& out) = 0;
};

/// Reads the files of one language in order.
class LanguageReader final : public ReadingStream {
 public:
  LanguageReader(std::vector<TextFile> files, const SourceOptions& options)
      : files_(std::move(files)), options_(options) {}

  bool next(Reading& out) override;

 private:
  std::unique_ptr<DocumentReader> open(const TextFile& file) const;

  std::vector<TextFile> files_;
  SourceOptions options_;
  std::size_t file_ = 0;
  std::unique_ptr<DocumentReader> reader_;
  std::int64_t finished_bytes_ = 0;
  bool any_ = false;  // whether the open file has produced a reading
};

/// Reads ahead on a thread of its own. Exceptions are rethrown at their position in the stream.
class ReadAhead final : public ReadingStream {
 public:
  /// `limit` is the approximate maximum of text in the queue, in bytes.
  ReadAhead(std::unique_ptr<ReadingStream> stream, std::size_t limit)
      : stream_(std::move(stream)),
        batch_bytes_(std::min(limit / 4, std::size_t{1} << 18)),
        queue_(limit),
        thread_(start_thread<std::jthread>([this] { read_all(); })) {}
  ~ReadAhead() override { queue_.close(); }

  bool next(Reading& out) override;

 private:
  struct Batch {
    std::vector<Reading> readings;
    std::exception_ptr error;  // thrown after the readings
  };

  void read_all();

  std::unique_ptr<ReadingStream> stream_;
  std::size_t batch_bytes_;
  BoundedQueue<Batch> queue_;
  Batch batch_;
  std::size_t at_ = 0;
  std::jthread thread_;  // last member: joined before the members it uses are destroyed
};

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2 {

MODERNGPT2_INLINE bool ReadAhead::next(Reading& out) {
  while (at_ == batch_.readings.size()) {
    if (batch_.error) std::rethrow_exception(batch_.error);
    std::optional<Batch> batch = queue_.pop();
    if (!batch) return false;
    batch_ = std::move(*batch);
    at_ = 0;
  }
  out = std::move(batch_.readings[at_++]);
  return true;
}

MODERNGPT2_INLINE void ReadAhead::read_all() {
  bool more = true;
  while (more) {
    Batch batch;
    std::size_t bytes = 0;
    try {
      while (more && bytes < batch_bytes_) {
        Reading reading;
        more = stream_->next(reading);
        if (!more) break;
        bytes += sizeof(Reading) + reading.document.text.capacity();
        batch.readings.push_back(std::move(reading));
      }
    } catch (...) {
      batch.error = std::current_exception();
      more = false;
    }
    if (!queue_.push(std::move(batch), bytes)) return;
  }
  queue_.finish();
}

}  // namespace moderngpt2

namespace moderngpt2 {

MODERNGPT2_INLINE bool LanguageReader::next(Reading& out) {
  while (reader_ || file_ < files_.size()) {
    const TextFile& file = files_[file_];
    if (!reader_) {
      reader_ = open(file);
      any_ = false;
    }
    const DocumentReader::Result result = reader_->next(out.document, out.reason);
    out.bytes_read = finished_bytes_ + reader_->position();
    out.file = file_;
    out.text_bytes = result == DocumentReader::Result::end ? TextBytes{} : reader_->text_bytes();
    if (result != DocumentReader::Result::end) {
      const bool found = result == DocumentReader::Result::document;
      out.kind = found ? Reading::Kind::document : Reading::Kind::skipped;
      return any_ = true;
    }
    finished_bytes_ += reader_->position();
    reader_.reset();
    ++file_;
    if (any_) continue;
    out.kind = Reading::Kind::empty_file;
    out.document.file = file.path.string();
    return true;
  }
  return false;
}

MODERNGPT2_INLINE std::unique_ptr<DocumentReader> LanguageReader::open(const TextFile& file) const {
  if (file.format.content != TextFormat::Content::parquet)
    return std::make_unique<LineDocumentReader>(file, options_.text_column, options_.text_document,
                                                options_.max_document_bytes);
  if (!options_.open_parquet) throw Error("{}: this program cannot read Parquet files", file.path.string());
  return options_.open_parquet(file, options_.text_column, options_.max_document_bytes);
}

}  // namespace moderngpt2

#endif
