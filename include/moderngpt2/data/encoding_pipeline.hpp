#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "moderngpt2/core/random.hpp"
#include "moderngpt2/data/ordered_pipeline.hpp"
#include "moderngpt2/data/packing.hpp"
#include "moderngpt2/data/pretokenize_options.hpp"
#include "moderngpt2/data/source.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"

namespace moderngpt2::detail {

/// Encoder of whole documents: the tokenizer's prefix and suffix, and eos unless the ids already end with it.
struct DocumentEncoder {
  DocumentEncoder(const Tokenizer& of, const PretokenizeOptions& options)
      : tokenizer(of),
        split_special_tokens(options.split_special_tokens),
        eos_id(document_eos(of, options)),
        bpe_dropout(options.bpe_dropout),
        seed(options.seed) {}

  const Tokenizer& tokenizer;
  bool split_special_tokens;
  int eos_id;
  double bpe_dropout;
  std::uint64_t seed;

  /// Appends the ids of `text`, which is document `number` of the source; none for text that is only white space.
  void operator()(std::string_view text, std::int64_t number, std::vector<std::int32_t>& ids) const {
    if (moderngpt2::is_white_space(text)) return;
    const std::size_t before = ids.size();
    ids.insert(ids.end(), tokenizer.prefix_ids().begin(), tokenizer.prefix_ids().end());
    if (bpe_dropout > 0)
      tokenizer.encode(text, ids,
                       EncodeOptions{.split_special_tokens = split_special_tokens,
                                     .bpe_dropout = bpe_dropout,
                                     .seed = mix64(seed + mix64(static_cast<std::uint64_t>(number) + 1))});
    else
      tokenizer.encode(text, ids, split_special_tokens);
    ids.insert(ids.end(), tokenizer.suffix_ids().begin(), tokenizer.suffix_ids().end());
    if (ids.size() > before && ids.back() != eos_id) ids.push_back(eos_id);
  }
};

/// Encoded document.
struct EncodedDocument {
  std::size_t language;  ///< index in DocumentSource::languages()
  std::int64_t bytes;
  std::span<const std::int32_t> ids;  ///< empty for text that is only white space
};

/// Encodes the documents of a source on several threads and returns them in the source's order.
class EncodingPipeline {
 public:
  /// Uses the source's options for reading. Warnings are issued on the thread that calls run().
  EncodingPipeline(SourceOptions options, DocumentEncoder encoder, int threads)
      : encoder_(encoder),
        threads_(std::max(1, threads)),
        warn_(options.warn),
        source_(of_threads(std::move(options))) {
    languages_ = source_.languages();
  }
  EncodingPipeline(const EncodingPipeline&) = delete;
  EncodingPipeline& operator=(const EncodingPipeline&) = delete;

  const DocumentSource& source() const { return source_; }  // not while run() runs
  const std::vector<std::string>& languages() const { return languages_; }
  /// Number of input bytes (compressed) of the documents returned so far.
  std::int64_t bytes_read() const { return bytes_read_; }

  /// Skips the first `first` documents without encoding them, then calls `take` for each document, and `idle`
  /// periodically while waiting. Both may throw to stop.
  void run(std::int64_t first, const std::function<void(const EncodedDocument&)>& take,
           const std::function<void()>& idle) {
    OrderedPipeline<Batch, Encoded> pipeline;
    to_pass_ = first;
    pipeline.produce = [this] { return next_batch(); };
    // A huge text is encoded alone, because encoding takes many times its size in memory.
    pipeline.cost = [this](const Batch& batch) { return batch.bytes > huge_bytes ? limit() : batch.bytes; };
    pipeline.transform = [this](Batch&& batch) { return encode(std::move(batch)); };
    pipeline.consume = [&](Encoded&& encoded) {
      for (const std::string& warning : encoded.warnings) warn_(warning);
      bytes_read_ = encoded.bytes_read;
      std::size_t begin = 0;
      for (const Encoded::Part& part : encoded.parts) {
        take({part.language, part.bytes, std::span(encoded.ids).subspan(begin, part.ids)});
        begin += part.ids;
      }
      idle();
    };
    pipeline.idle = idle;
    pipeline.run(threads_, limit());
    for (const std::string& warning : warnings_) warn_(warning);
  }

 private:
  static constexpr std::size_t batch_bytes = std::size_t{1} << 17, huge_bytes = std::size_t{1} << 20;
  static constexpr std::size_t read_ahead_bytes = std::size_t{1} << 24;

  struct Batch {
    std::vector<Document> documents;
    std::int64_t first = 0;  // number of the first document
    std::vector<std::string> warnings;
    std::int64_t bytes_read = 0;
    std::size_t bytes = 0;
  };
  struct Encoded {
    struct Part {
      std::size_t language, ids;
      std::int64_t bytes;
    };
    std::vector<Part> parts;
    std::vector<std::int32_t> ids;
    std::vector<std::string> warnings;
    std::int64_t bytes_read = 0;
  };

  SourceOptions of_threads(SourceOptions options) {
    options.read_ahead_bytes = read_ahead_bytes;
    if (options.warn) options.warn = [this](const std::string& line) { warnings_.push_back(line); };
    return options;
  }
  std::size_t limit() const { return std::max(4 * huge_bytes, batch_bytes * 3 * static_cast<std::size_t>(threads_)); }

  // Runs on the source's thread.
  std::optional<Batch> next_batch() {
    Batch batch;
    bool more = true;
    while (batch.bytes < batch_bytes) {
      Document document;
      more = source_.next(document);
      if (!more) break;
      batch.bytes += sizeof(Document) + document.text.size();
      const std::int64_t number = read_++;
      if (number < to_pass_) continue;
      if (batch.documents.empty()) batch.first = number;
      batch.documents.push_back(std::move(document));
    }
    batch.warnings = std::exchange(warnings_, {});
    batch.bytes_read = source_.bytes_read();
    if (!more && batch.bytes == 0 && batch.warnings.empty()) return std::nullopt;
    return batch;
  }

  // Runs on any thread.
  Encoded encode(Batch batch) const {
    Encoded encoded;
    encoded.warnings = std::move(batch.warnings);
    encoded.bytes_read = batch.bytes_read;
    std::int64_t number = batch.first;
    for (Document& document : batch.documents) {
      const std::size_t before = encoded.ids.size();
      encoder_(document.text, number++, encoded.ids);
      const auto language = std::find(languages_.begin(), languages_.end(), document.language);
      encoded.parts.push_back({static_cast<std::size_t>(language - languages_.begin()), encoded.ids.size() - before,
                               static_cast<std::int64_t>(document.text.size())});
      document.text = {};
    }
    return encoded;
  }

  DocumentEncoder encoder_;
  int threads_;
  std::function<void(const std::string&)> warn_;
  std::vector<std::string> warnings_;  // warnings of the source since the last batch
  DocumentSource source_;
  std::vector<std::string> languages_;
  std::int64_t to_pass_ = 0, read_ = 0, bytes_read_ = 0;  // read_: documents of the source so far
};

}  // namespace moderngpt2::detail
