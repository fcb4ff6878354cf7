#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

#if !__has_include(<zlib.h>) || !__has_include(<zstd.h>)
#error "moderngpt2: <zlib.h> or <zstd.h> not found: link moderngpt2::data (find_package(moderngpt2 COMPONENTS data))"
#endif
#include <zlib.h>
#include <zstd.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/data/byte_reader.hpp"

namespace moderngpt2 {

/// Zstandard file (RFC 8878) with one or several frames. Decompressed incrementally.
class ZstdReader final : public ByteReader {
 public:
  explicit ZstdReader(const std::filesystem::path& path)
      : file_(path), stream_(ZSTD_createDStream(), &ZSTD_freeDStream), buffer_(ZSTD_DStreamInSize()) {
    if (!stream_) throw Error("{}: cannot initialize zstd", path.string());
  }

  std::size_t read(char* out, std::size_t size) override {
    ZSTD_outBuffer output{out, size, 0};
    while (output.pos == 0) {
      if (input_.pos == input_.size) {
        input_ = {buffer_.data(), file_.read(buffer_.data(), buffer_.size()), 0};
        // The decoder may still have output of a frame's last block.
        if (input_.size == 0 && !pending_) break;
      }
      const std::size_t status = ZSTD_decompressStream(stream_.get(), &output, &input_);
      if (ZSTD_isError(status))
        throw Error("{}: damaged zstd data near byte {} ({})", file_.path().string(), offset(),
                    ZSTD_getErrorName(status));
      pending_ = status != 0;
      if (pending_ && input_.size == 0 && output.pos == 0)
        throw Error("{}: the zstd data breaks off at byte {}: the file was not copied or written to its end",
                    file_.path().string(), offset());
    }
    return output.pos;
  }
  std::int64_t position() const override { return file_.position(); }

 private:
  std::int64_t offset() const { return file_.position() - static_cast<std::int64_t>(input_.size - input_.pos); }

  FileReader file_;
  std::unique_ptr<ZSTD_DStream, std::size_t (*)(ZSTD_DStream*)> stream_;
  std::vector<char> buffer_;
  ZSTD_inBuffer input_{nullptr, 0, 0};
  bool pending_ = false;
};

/// Gzip file (RFC 1952) with one or several members. Decompressed incrementally: memory does not depend on the
/// decompressed size.
class GzipReader final : public ByteReader {
 public:
  explicit GzipReader(const std::filesystem::path& path) : file_(path), input_(1 << 16) {
    if (inflateInit2(&stream_, 15 + 16) != Z_OK) throw Error("{}: cannot initialize zlib", path.string());
  }
  ~GzipReader() override { inflateEnd(&stream_); }
  GzipReader(const GzipReader&) = delete;
  GzipReader& operator=(const GzipReader&) = delete;

  std::size_t read(char* out, std::size_t size) override {
    stream_.next_out = reinterpret_cast<Bytef*>(out);
    stream_.avail_out = static_cast<uInt>(size);
    while (stream_.avail_out == size && !finished_) {
      if (stream_.avail_in == 0 && !refill()) {
        if (in_member_)
          throw Error("{}: the gzip data breaks off at byte {}: the file was not copied or written to its end",
                      file_.path().string(), offset());
        finished_ = true;
        break;
      }
      if (!in_member_ && after_member_ && skip_padding()) continue;
      in_member_ = true;
      const int status = inflate(&stream_, Z_NO_FLUSH);
      if (status == Z_STREAM_END) {
        in_member_ = false;
        after_member_ = true;
        inflateReset(&stream_);
      } else if (status != Z_OK && status != Z_BUF_ERROR) {
        throw Error("{}: damaged gzip data near byte {} ({})", file_.path().string(), offset(),
                    stream_.msg ? stream_.msg : "zlib error");
      }
    }
    return size - stream_.avail_out;
  }
  std::int64_t position() const override { return file_.position(); }

 private:
  std::int64_t offset() const { return file_.position() - static_cast<std::int64_t>(stream_.avail_in); }

  bool refill() {
    stream_.next_in = input_.data();
    stream_.avail_in = static_cast<uInt>(file_.read(reinterpret_cast<char*>(input_.data()), input_.size()));
    return stream_.avail_in > 0;
  }

  // Tape and block tools pad files with zero bytes, which gzip accepts.
  bool skip_padding() {
    const uInt before = stream_.avail_in;
    while (stream_.avail_in > 0 && *stream_.next_in == 0) {
      ++stream_.next_in;
      --stream_.avail_in;
    }
    return stream_.avail_in != before;
  }

  FileReader file_;
  std::vector<Bytef> input_;
  z_stream stream_{};
  bool in_member_ = false, after_member_ = false, finished_ = false;
};

}  // namespace moderngpt2
