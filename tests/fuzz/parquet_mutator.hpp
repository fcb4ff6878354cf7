#pragma once

// Mutates Parquet files, mostly their footer: a Thrift struct (compact protocol) whose values are changed, copied and
// removed, so that the file stays readable up to that value. Arrow is not instrumented, so mutations of bytes alone
// rarely pass its checks.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <arrow/api.h>
#include <arrow/io/memory.h>
#include <parquet/arrow/writer.h>

#include "fuzz.hpp"

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

namespace fuzz {

/// Value of Thrift's compact protocol.
struct ThriftValue {
  enum Type { yes = 1, no, byte, i16, i32, i64, real, binary, list, set, map, record };
  int type = 0;
  std::int64_t number = 0;         // integers
  std::string bytes;               // binary, real
  int item_type = 0;               // list
  std::vector<ThriftValue> items;  // list: its items; record: its fields
  int field = 0;                   // id in its record
};

class ThriftReader {
 public:
  explicit ThriftReader(std::string_view bytes) : rest_(bytes) {}

  ThriftValue read(int type, bool in_list = false, int depth = 0) {
    using V = ThriftValue;
    if (depth > 30) throw std::runtime_error("depth");
    V value;
    value.type = type;
    if ((type == V::yes || type == V::no) && in_list) value.type = take(1)[0] == 1 ? V::yes : V::no;
    if (type == V::byte) value.number = take(1)[0];
    if (type >= V::i16 && type <= V::i64) {
      const std::uint64_t n = varint();
      value.number = static_cast<std::int64_t>(n >> 1) ^ -static_cast<std::int64_t>(n & 1);
    }
    if (type == V::real) value.bytes = take(8);
    if (type == V::binary) value.bytes = take(varint());
    if (type == V::list || type == V::set) {
      const auto head = static_cast<unsigned char>(take(1)[0]);
      std::uint64_t size = head >> 4;
      if (size == 15) size = varint();
      value.item_type = head & 15;
      if (size > rest_.size()) throw std::runtime_error("size");
      for (; size > 0; --size) value.items.push_back(read(value.item_type, true, depth + 1));
    }
    if (type == V::record) {
      for (int id = 0;;) {
        const auto head = static_cast<unsigned char>(take(1)[0]);
        if (head == 0) break;
        id = head >> 4 ? id + (head >> 4) : static_cast<int>(varint() >> 1);
        value.items.push_back(read(head & 15, false, depth + 1));
        value.items.back().field = id;
      }
    }
    if (type < V::yes || type > V::record || type == V::map) throw std::runtime_error("type");
    return value;
  }

 private:
  std::string take(std::uint64_t size) {
    if (size > rest_.size()) throw std::runtime_error("end");
    std::string bytes(rest_.substr(0, static_cast<std::size_t>(size)));
    rest_.remove_prefix(static_cast<std::size_t>(size));
    return bytes;
  }
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(take(1)[0]);
      value |= std::uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80) return value;
    }
    throw std::runtime_error("varint");
  }

  std::string_view rest_;
};

inline void write_varint(std::uint64_t value, std::string& out) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

inline void write_thrift(const ThriftValue& value, bool in_list, std::string& out) {
  using V = ThriftValue;
  if (value.type <= V::no && in_list) out += static_cast<char>(value.type);
  if (value.type == V::byte) out += static_cast<char>(value.number);
  if (value.type >= V::i16 && value.type <= V::i64)
    write_varint(static_cast<std::uint64_t>(value.number) << 1 ^ static_cast<std::uint64_t>(value.number >> 63), out);
  if (value.type == V::binary) write_varint(value.bytes.size(), out);
  out += value.bytes;
  if (value.type == V::list || value.type == V::set) {
    const std::size_t size = value.items.size();
    out += static_cast<char>(std::min<std::size_t>(size, 15) << 4 | static_cast<unsigned>(value.item_type));
    if (size >= 15) write_varint(size, out);
    for (const V& item : value.items) write_thrift(item, true, out);
  }
  if (value.type == V::record) {
    int id = 0;
    for (const V& field : value.items) {
      const int step = field.field - id;
      if (step > 0 && step < 16) {
        out += static_cast<char>(step << 4 | field.type);
      } else {
        out += static_cast<char>(field.type);
        write_varint(static_cast<std::uint64_t>(field.field) << 1, out);
      }
      id = field.field;
      write_thrift(field, false, out);
    }
    out += '\0';
  }
}

class ParquetMutator {
 public:
  explicit ParquetMutator(unsigned seed) : random_(seed) {}

  /// Returns the file with another footer; empty if it has no readable one.
  std::string mutate(std::string_view file) {
    constexpr std::size_t tail = 8;  // length of the footer, "PAR1"
    if (file.size() < 2 * tail || !file.ends_with("PAR1")) return {};
    std::uint32_t length;
    std::memcpy(&length, file.data() + file.size() - tail, sizeof length);
    if (length > file.size() - tail) return {};
    const std::size_t begin = file.size() - tail - length;
    std::string out(file.substr(0, begin));
    std::string footer;
    try {
      ThriftValue root = ThriftReader(file.substr(begin, length)).read(ThriftValue::record);
      for (std::size_t n = 1 + below(3); n > 0; --n) change(root);
      write_thrift(root, false, footer);
    } catch (const std::runtime_error&) {
      return {};
    }
    out += footer;
    length = static_cast<std::uint32_t>(footer.size());
    out.append(reinterpret_cast<const char*>(&length), sizeof length) += "PAR1";
    return out;
  }

  std::size_t below(std::size_t n) { return random_() % n; }

 private:
  static void collect(ThriftValue& value, std::vector<ThriftValue*>& out) {
    out.push_back(&value);
    for (ThriftValue& item : value.items) collect(item, out);
  }

  void change(ThriftValue& root) {
    using V = ThriftValue;
    std::vector<V*> all, alike;
    collect(root, all);
    V& value = *all[below(all.size())];
    for (V* one : all)
      if (one->type == value.type) alike.push_back(one);
    const V other = *alike[below(alike.size())];
    if (value.type >= V::byte && value.type <= V::i64) return change_number(value, other);
    if (value.type == V::binary) {
      constexpr std::array words{"input_ids", "attention_mask", "text", "label",
                                 "list",      "element",        "item", "huggingface"};
      value.bytes = below(2) ? other.bytes : words[below(words.size())];
      return;
    }
    if (value.type <= V::no) value.type = below(2) ? V::yes : V::no;
    if (value.items.empty()) return;
    const std::size_t at = below(value.items.size());
    switch (below(4)) {
      case 0:
        value.items.erase(value.items.begin() + std::ptrdiff_t(at));
        break;
      case 1:
        if (value.type == V::list) value.items.insert(value.items.begin() + std::ptrdiff_t(at), V(value.items[at]));
        break;
      case 2:
        std::swap(value.items[at].bytes, value.items[below(value.items.size())].bytes);
        break;
      default:
        if (&value != &root) {
          const int id = value.field;
          value = other;
          value.field = id;
        }
    }
  }

  void change_number(ThriftValue& value, const ThriftValue& other) {
    constexpr std::array<std::int64_t, 10> edges{0,         1,         -1,        127,       32767,
                                                 INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, 1 << 20};
    switch (below(4)) {
      case 0:
        value.number = edges[below(edges.size())];
        break;
      case 1:
        value.number = other.number;
        break;
      case 2:
        value.number += static_cast<std::int64_t>(below(5)) - 2;
        break;
      default:
        value.number = static_cast<std::int64_t>(below(40));
    }
  }

  std::minstd_rand random_;
};

/// Bytes of a Parquet file of a table, in row groups of `rows`.
inline std::string parquet_bytes(const std::shared_ptr<arrow::Table>& table, std::int64_t rows, bool checksums) {
  const auto sink = arrow::io::BufferOutputStream::Create().ValueOrDie();
  parquet::WriterProperties::Builder properties;
  if (checksums) properties.enable_page_checksum();
  const auto status = parquet::arrow::WriteTable(*table, arrow::default_memory_pool(), sink, rows, properties.build());
  if (!status.ok()) fail(status.ToString());
  return sink->Finish().ValueOrDie()->ToString();
}

template <class Builder, class Value>
std::shared_ptr<arrow::Array> array(std::initializer_list<Value> values) {
  Builder builder;
  for (const Value& value : values)
    if (!builder.Append(value).ok()) fail("a seed cannot be made");
  return builder.Finish().ValueOrDie();
}

/// Column of lists of `length` values each.
inline std::shared_ptr<arrow::Array> lists(std::int32_t length, const std::shared_ptr<arrow::Array>& values) {
  arrow::Int32Builder offsets;
  for (std::int64_t at = 0; at <= values->length(); at += length)
    if (!offsets.Append(static_cast<std::int32_t>(at)).ok()) fail("a seed cannot be made");
  return arrow::ListArray::FromArrays(*offsets.Finish().ValueOrDie(), *values).ValueOrDie();
}

/// Table of named columns, with metadata as the library `datasets` writes it.
inline std::shared_ptr<arrow::Table> table(
    const std::vector<std::pair<std::string, std::shared_ptr<arrow::Array>>>& columns,
    const std::string& features = "") {
  arrow::FieldVector fields;
  arrow::ArrayVector arrays;
  for (const auto& [name, values] : columns) {
    fields.push_back(arrow::field(name, values->type()));
    arrays.push_back(values);
  }
  const auto metadata = features.empty() ? nullptr : arrow::key_value_metadata({"huggingface"}, {features});
  return arrow::Table::Make(arrow::schema(fields, metadata), arrays);
}

}  // namespace fuzz

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  fuzz::ParquetMutator mutator(seed);
  std::string out;
  if (mutator.below(8) > 0) out = mutator.mutate({reinterpret_cast<const char*>(data), size});
  if (out.empty() || out.size() > max_size) return LLVMFuzzerMutate(data, size, max_size);
  std::memcpy(data, out.data(), out.size());
  return out.size();
}
