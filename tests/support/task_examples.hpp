#pragma once

#include <memory>
#include <string>

#include "moderngpt2/data/tasks/examples.hpp"
#include "moderngpt2/data/tasks/labels.hpp"
#include "moderngpt2/io/file.hpp"
#include "support/letter_tokenizer.hpp"
#include "support/temporary_folder.hpp"

namespace moderngpt2::test {

/// Examples of some rows, with one token per letter.
template <class Store>
ExampleRange<Store> examples(const std::string& lines) {
  TemporaryFolder temporary;
  write_letter_tokenizer(temporary / "tokenizer");
  write_file(temporary / "rows.jsonl", lines);
  TextEncoder encoder(Tokenizer::load(temporary / "tokenizer"), 24);
  auto store = std::make_shared<Store>();
  LabelSet labels;
  ExampleOptions options;
  options.doc_stride = 2;
  for_each_row({(temporary / "rows.jsonl").string()}, nullptr,
               [&](const DataRow& row, const RowReader& reader) { store->add(row, reader, encoder, labels, options); });
  labels.finish();
  if constexpr (requires { store->problem(); })
    store->finish(store->problem(), int(labels.names().size()), labels);
  else if constexpr (requires { store->finish(labels); })
    store->finish(labels);
  return {store, 0, store->rows.size() / store->sequences()};
}

}  // namespace moderngpt2::test
