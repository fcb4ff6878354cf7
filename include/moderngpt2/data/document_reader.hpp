#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/data/byte_reader.hpp"
#include "moderngpt2/data/gzip_reader.hpp"
#include "moderngpt2/data/json_field.hpp"
#include "moderngpt2/data/line_reader.hpp"
#include "moderngpt2/data/text_files.hpp"
#include "moderngpt2/data/zstd_reader.hpp"

namespace moderngpt2 {

/// One document of the training text, and where it was found (line from 1).
struct Document {
  std::string text;
  std::string language;
  std::string file;
  std::int64_t line = 0;
};

/// What ends a document of a .txt file: each line, a blank line, or the file's end.
enum class TextDocument { line, paragraph, file };

/// A stream of the file's bytes, unpacked as its name says.
inline std::unique_ptr<ByteReader> open_bytes(const TextFile& file) {
  switch (file.format.packing) {
    case TextFormat::Packing::gzip:
      return std::make_unique<GzipReader>(file.path);
    case TextFormat::Packing::zstd:
      return std::make_unique<ZstdReader>(file.path);
    case TextFormat::Packing::none:
      break;
  }
  return std::make_unique<FileReader>(file.path);
}

/// The documents of one file.
class DocumentReader {
 public:
  enum class Result { document, skipped, end };

  DocumentReader(TextFile file, std::string text_column, TextDocument text_document, std::size_t max_bytes)
      : file_(std::move(file)),
        text_column_(std::move(text_column)),
        text_document_(text_document),
        max_bytes_(max_bytes),
        lines_(open_bytes(file_), max_bytes) {}

  /// The next document; or `skipped` for a line that gives none, and why in `reason`. A text longer than the limit
  /// comes as several documents. Throws Error where the file cannot be read.
  Result next(Document& out, std::string& reason) {
    out.text.clear();
    out.language = file_.language;
    out.file = file_.path.string();
    if (file_.format.content == TextFormat::Content::json_lines) return next_json(out, reason);
    return next_text(out);
  }

  const TextFile& file() const { return file_; }
  std::int64_t position() const { return lines_.position(); }

 private:
  static bool is_blank(std::string_view line) { return line.find_first_not_of(" \t\r\f\v") == std::string_view::npos; }

  Result next_text(Document& out) {
    std::string_view line;
    bool any = false;
    while (lines_.next(line)) {
      const bool blank = is_blank(line) && !lines_.is_piece();
      if (!any && blank) continue;  // before the first line of a document
      if (!any) out.line = lines_.number();
      if (blank && text_document_ == TextDocument::paragraph) return Result::document;
      if (any && !joined_) out.text += '\n';
      any = true;
      joined_ = lines_.unfinished();
      out.text.append(line);
      if (text_document_ == TextDocument::line || out.text.size() >= max_bytes_) return Result::document;
    }
    return any ? Result::document : Result::end;
  }

  Result next_json(Document& out, std::string& reason) {
    std::string_view line;
    do {
      if (!lines_.next(line)) return Result::end;
    } while (is_blank(line));
    out.line = lines_.number();
    if (lines_.unfinished()) {
      while (lines_.unfinished() && lines_.next(line)) {
      }
      return reason = fmt::format("the line is longer than {} bytes", max_bytes_), Result::skipped;
    }
    reason = read_json_field(line, text_column_, out.text);
    if (!reason.empty()) return Result::skipped;
    return Result::document;
  }

  TextFile file_;
  std::string text_column_;
  TextDocument text_document_;
  std::size_t max_bytes_;
  LineReader lines_;
  bool joined_ = false;
};

}  // namespace moderngpt2
