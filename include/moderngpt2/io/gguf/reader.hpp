#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "moderngpt2/core/ascii.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/io/gguf/metadata.hpp"
#include "moderngpt2/io/gguf/tensor_types.hpp"

namespace moderngpt2 {

/// Tensor of a GGUF file. `dims` are in the order of the file: the length of a row comes first.
struct GgufTensor {
  std::string name;
  std::vector<std::uint64_t> dims;
  std::uint32_t type = 0;    ///< number of the type: GgufDtype, or one that is not read
  std::uint64_t offset = 0;  ///< from the beginning of the tensors' data, bytes
  std::uint64_t bytes = 0;   ///< 0 for a type that is not read
  std::int64_t count = 0;    ///< elements
};

/// Whether a path is a GGUF file: a file that ends in .gguf, or one that begins with "GGUF".
bool is_gguf(const std::filesystem::path& path);

/// GGUF file, version 2 or 3, little-endian. The constructor checks the header: every length, count, offset and type.
/// Tensors are read on demand, from several threads at once if needed. Memory: the metadata, at most a few times their
/// bytes in the file. Tensors of types other than GgufDtype are listed, and cannot be read. Throws Error that begins
/// with the file's name.
class GgufFile {
 public:
  explicit GgufFile(std::filesystem::path path);

  const std::filesystem::path& path() const { return file_.path(); }
  const GgufMetadata& metadata() const { return metadata_; }
  const std::vector<GgufTensor>& tensors() const { return tensors_; }

  /// Reads stored bytes of a tensor, beginning at byte `offset` of it.
  void read(const GgufTensor& tensor, std::uint64_t offset, std::span<std::byte> out) const;

  /// Reads `count` elements from index `first` as floats. Throws Error for a type that is not read.
  void read_values(const GgufTensor& tensor, std::int64_t first, std::int64_t count, float* out) const;

 private:
  class Header;

  void read_header();
  GgufValue read_value(Header& header, const std::string& key) const;
  GgufTensor read_tensor(Header& header) const;
  void check_places();

  InputFile file_;
  GgufMetadata metadata_;
  std::vector<GgufTensor> tensors_;
  std::uint64_t data_begin_ = 0, alignment_ = 32;
};

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2 {

MODERNGPT2_INLINE bool is_gguf(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return false;
  if (lower_case(path.extension().string()) == ".gguf") return true;
  try {
    const InputFile file(path);
    std::array<char, 4> magic{};
    if (file.size() < magic.size()) return false;
    file.read(0, std::as_writable_bytes(std::span(magic)));
    return std::string_view(magic.data(), magic.size()) == "GGUF";
  } catch (const Error&) {  // unreadable: reported by the reader of the other format
    return false;
  }
}

/// Sequential, buffered reader of the bytes before the tensors' data. Allocates no more than the file has bytes for.
class GgufFile::Header {
 public:
  static constexpr std::uint64_t max_bytes = std::uint64_t{1} << 30;
  static constexpr std::uint64_t max_strings = std::uint64_t{1} << 24;

  explicit Header(const InputFile& file) : file_(file) {}

  std::uint64_t position() const { return position_; }
  std::uint64_t remaining() const { return file_.size() - position_; }
  const InputFile& file() const { return file_; }

  template <class... Args>
  [[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) const {
    throw Error("{}: {} (byte {})", file_.path().string(), fmt::format(format, std::forward<Args>(args)...), position_);
  }

  template <class T>
  T number() {
    T value;
    read(&value, sizeof(value), "a number");
    return value;
  }

  /// String of `length` bytes, and `what` for errors.
  std::string text(std::uint64_t length, std::string_view what) {
    require(length, what);
    std::string result(static_cast<std::size_t>(length), '\0');
    read(result.data(), result.size(), what);
    return result;
  }
  std::string text(std::string_view what) { return text(number<std::uint64_t>(), what); }

  /// Throws Error unless the file has `bytes` more and the header remains within its limit.
  void require(std::uint64_t bytes, std::string_view what) const {
    if (bytes > remaining()) fail("{} takes {} bytes, the file has {} more: it is truncated", what, bytes, remaining());
    if (bytes > max_bytes - std::min(position_, max_bytes))
      fail("{} takes {} bytes, and the metadata may have {}", what, bytes, max_bytes);
  }

 private:
  void read(void* out, std::size_t bytes, std::string_view what) {
    require(bytes, what);
    auto* to = static_cast<std::byte*>(out);
    while (bytes > 0) {
      if (at_ == filled_) {
        filled_ = static_cast<std::size_t>(std::min<std::uint64_t>(buffer_.size(), remaining()));
        file_.read(position_, std::span(buffer_).first(filled_));
        at_ = 0;
      }
      const std::size_t n = std::min(bytes, filled_ - at_);
      std::memcpy(to, buffer_.data() + at_, n);
      to += n, at_ += n, bytes -= n, position_ += n;
    }
  }

  const InputFile& file_;
  std::uint64_t position_ = 0;
  std::vector<std::byte> buffer_ = std::vector<std::byte>(1 << 16);
  std::size_t at_ = 0, filled_ = 0;
};

MODERNGPT2_INLINE GgufFile::GgufFile(std::filesystem::path path)
    : file_(std::move(path)), metadata_(file_.path().string()) {
  read_header();
  check_places();
}

MODERNGPT2_INLINE void GgufFile::read_header() {
  Header header(file_);
  if (file_.size() < 8 || header.text(4, "the magic") != "GGUF")
    throw Error("{}: not a GGUF file, which begins with GGUF", file_.path().string());
  const auto format_version = header.number<std::uint32_t>();
  if ((format_version & 0xffff) == 0 && format_version != 0)
    header.fail("a big-endian GGUF file. Convert it to little endian (gguf-py's gguf_convert_endian)");
  if (format_version == 1) header.fail("GGUF version 1, versions 2 and 3 are read. Convert the model again");
  if (format_version != 2 && format_version != 3)
    header.fail("GGUF version {}, versions 2 and 3 are read", format_version);
  const auto tensors = header.number<std::uint64_t>(), keys = header.number<std::uint64_t>();
  constexpr std::uint64_t least_key = 13, least_tensor = 32;  // bytes
  if (keys > header.remaining() / least_key) header.fail("{} keys do not fit into the file", keys);
  if (tensors > header.remaining() / least_tensor) header.fail("{} tensors do not fit into the file", tensors);
  for (std::uint64_t i = 0; i < keys; ++i) {
    std::string key = header.text("a key");
    if (key.empty() || key.size() > 65535) header.fail("a key of {} bytes, 1 to 65535 are allowed", key.size());
    GgufValue value = read_value(header, key);
    metadata_.add(std::move(key), std::move(value));
  }
  alignment_ = metadata_.get<std::uint32_t>("general.alignment").value_or(32);
  if (!std::has_single_bit(alignment_) || alignment_ > (1 << 20))
    header.fail("general.alignment is {}, a power of two up to 1048576 is needed", alignment_);
  if (metadata_.get<std::uint32_t>("split.count").value_or(0) > 1)
    header.fail("one part of a split model. Join the parts with llama-gguf-split");
  std::unordered_set<std::string> names;
  for (std::uint64_t i = 0; i < tensors; ++i) {
    tensors_.push_back(read_tensor(header));
    if (!names.insert(tensors_.back().name).second)
      header.fail("the tensor {} occurs twice", excerpt(tensors_.back().name));
  }
  data_begin_ = (header.position() + alignment_ - 1) / alignment_ * alignment_;
}

MODERNGPT2_INLINE GgufValue GgufFile::read_value(Header& header, const std::string& key) const {
  const auto known_type = [&] {
    const auto number = header.number<std::uint32_t>();
    if (number > static_cast<std::uint32_t>(GgufType::f64))
      header.fail("the key {} has the unknown type {}", excerpt(key, 80), number);
    return static_cast<GgufType>(number);
  };
  GgufValue value;
  value.type = known_type();
  std::uint64_t count = 1;
  if (value.type == GgufType::array) {
    value.is_array = true;
    value.type = known_type();
    if (value.type == GgufType::array) header.fail("the key {} is an array of arrays", excerpt(key, 80));
    count = header.number<std::uint64_t>();
  }
  const std::string what = "the key " + excerpt(key, 80);
  if (value.type != GgufType::string) {
    const std::uint64_t size = gguf_type_bytes(value.type);
    if (count > header.remaining() / size) header.fail("{} has {} elements, more than the file can hold", what, count);
    value.bytes = header.text(count * size, what);
    if (value.type == GgufType::boolean &&
        value.bytes.find_first_not_of(std::string_view("\0\1", 2)) != std::string::npos)
      header.fail("{} holds a bool that is neither 0 nor 1", what);
  } else if (!value.is_array) {
    value.bytes = header.text(what);
  } else {
    if (count > header.remaining() / 8 || count > Header::max_strings)
      header.fail("{} has {} strings, more than {}", what, count,
                  count > Header::max_strings ? "are read (16777216)" : "the file can hold");
    for (std::uint64_t i = 0; i < count; ++i) value.strings.push_back(header.text(what));
  }
  return value;
}

MODERNGPT2_INLINE GgufTensor GgufFile::read_tensor(Header& header) const {
  GgufTensor tensor;
  tensor.name = header.text("a tensor's name");
  if (tensor.name.empty() || tensor.name.size() > 255)
    header.fail("a tensor's name of {} bytes, 1 to 255 are allowed", tensor.name.size());
  const std::string what = "the tensor " + excerpt(tensor.name);
  const auto rank = header.number<std::uint32_t>();
  if (rank < 1 || rank > 4) header.fail("{} has {} dimensions, 1 to 4 are allowed", what, rank);
  std::int64_t count = 1;
  for (std::uint32_t i = 0; i < rank; ++i) {
    tensor.dims.push_back(header.number<std::uint64_t>());
    const std::uint64_t n = tensor.dims.back();
    if (n == 0 || n > std::uint64_t(std::numeric_limits<std::int64_t>::max()) ||
        __builtin_mul_overflow(count, std::int64_t(n), &count))
      header.fail("{} has a dimension of {}, which no tensor has", what, n);
  }
  tensor.count = count;
  tensor.type = header.number<std::uint32_t>();
  tensor.offset = header.number<std::uint64_t>();
  if (tensor.offset % alignment_ != 0)
    header.fail("{} begins at byte {}, no multiple of general.alignment {}", what, tensor.offset, alignment_);
  const detail::GgufDtypeEntry* dtype = detail::find_gguf_dtype(tensor.type);
  if (!dtype) return tensor;
  if (tensor.dims[0] % dtype->values != 0)
    header.fail("{} of type {} has rows of {} values, a multiple of {} is needed", what,
                detail::ggml_type_name(tensor.type), tensor.dims[0], dtype->values);
  if (__builtin_mul_overflow(std::uint64_t(count) / dtype->values, dtype->bytes, &tensor.bytes))
    header.fail("{} has {} elements, more than a file can hold", what, count);
  return tensor;
}

/// Checks that the tensors lie inside the file and do not overlap.
MODERNGPT2_INLINE void GgufFile::check_places() {
  const std::string where = file_.path().string();
  const std::uint64_t size = file_.size() > data_begin_ ? file_.size() - data_begin_ : 0;
  std::vector<const GgufTensor*> order;
  for (const GgufTensor& tensor : tensors_) {
    if (tensor.offset > size || tensor.bytes > size - tensor.offset)
      throw Error("{}: the tensor {} takes {} bytes from {}, the file has {} bytes of tensors: it is truncated", where,
                  excerpt(tensor.name), tensor.bytes, tensor.offset, size);
    order.push_back(&tensor);
  }
  std::stable_sort(order.begin(), order.end(), [](const auto* a, const auto* b) { return a->offset < b->offset; });
  for (std::size_t i = 1; i < order.size(); ++i)
    if (order[i]->offset - order[i - 1]->offset < order[i - 1]->bytes)
      throw Error("{}: the tensors {} and {} overlap", where, excerpt(order[i - 1]->name), excerpt(order[i]->name));
}

MODERNGPT2_INLINE void GgufFile::read(const GgufTensor& tensor, std::uint64_t offset, std::span<std::byte> out) const {
  if (offset > tensor.bytes || out.size() > tensor.bytes - offset)
    throw Error("{}: tensor {} has {} bytes, {} were asked for at {}", path().string(), excerpt(tensor.name),
                tensor.bytes, out.size(), offset);
  file_.read(data_begin_ + tensor.offset + offset, out);
}

MODERNGPT2_INLINE void GgufFile::read_values(const GgufTensor& tensor, std::int64_t first, std::int64_t count,
                                             float* out) const {
  const detail::GgufDtypeEntry* dtype = detail::find_gguf_dtype(tensor.type);
  if (!dtype)
    throw Error("{}: the tensor {} is of type {}, which is not read: f32, f16, bf16, q8_0 and q4_0 are",
                path().string(), excerpt(tensor.name), detail::ggml_type_name(tensor.type));
  if (first < 0 || count < 0 || first > tensor.count || count > tensor.count - first)
    throw Error("{}: tensor {} has {} elements, {} were asked for at {}", path().string(), excerpt(tensor.name),
                tensor.count, count, first);
  const auto values = static_cast<std::int64_t>(dtype->values);
  constexpr std::int64_t at_once = 1 << 13;  // a multiple of every block
  std::array<std::byte, at_once * sizeof(float)> bytes;
  std::array<float, block_values> block;
  while (count > 0) {
    const std::int64_t skipped = first % values;
    const bool partial = skipped != 0 || count < values;
    const std::int64_t whole = partial ? values : std::min(at_once, count / values * values);
    const std::uint64_t offset = std::uint64_t(first / values) * dtype->bytes;
    const auto length = std::size_t(whole / values) * std::size_t(dtype->bytes);
    read(tensor, offset, std::span(bytes).first(length));
    std::int64_t n = whole;
    if (partial) {
      n = std::min(values - skipped, count);
      detail::gguf_decode(dtype->dtype, bytes.data(), values, block.data());
      std::copy_n(block.data() + skipped, n, out);
    } else {
      detail::gguf_decode(dtype->dtype, bytes.data(), whole, out);
    }
    first += n, count -= n, out += n;
  }
}

}  // namespace moderngpt2

#endif
