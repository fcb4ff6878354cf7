// Documents of text files: the first part of the input as .jsonl, the second as .txt, with each kind of document.
#include "fuzz.hpp"
#include "moderngpt2/data/source.hpp"
#include "moderngpt2/tokenizer/utf8.hpp"

using namespace moderngpt2;

void fuzz::seed(Seeds& seeds) {
  seeds.add(join({"{\"text\": \"one\"}\n{\"text\": 2}\n\n{\"text\": \"\\u00e9\"}\n", "one\n\ntwo\nlines\n\n\nthree"}));
  seeds.add(join({"\xEF\xBB\xBF{\"text\": \"caf\xE9\"}\n",
                  "\xFF\xFE"
                  "a\nb\r\n \t\n\x93\xFA\x96\x7B\x8C\xEA"}));
  seeds.words({"{\"text\": \"", "\"}\n", "\n\n", "\r\n", "\xFF\xFE", "\x93\xFA", "\xEF\xBB\xBF", separator});
}

void fuzz::run(std::string_view input) {
  const auto parts = split(input, 2);
  const std::string lines = file("documents.jsonl", parts[0]).string(), text = file("documents.txt", parts[1]).string();
  for (const auto kind : {TextDocument::line, TextDocument::paragraph, TextDocument::file})
    for (const std::string& path : {lines, text}) {
      SourceOptions options;
      options.inputs = {path};
      options.text_document = kind;
      options.max_document_bytes = 64;
      options.max_invalid_utf8 = 0.5;
      options.warn = [](const std::string& line) { check_message(line); };
      (void)accepted([&] {
        DocumentSource source(options);
        std::int64_t count = 0;
        for (Document document; source.next(document); ++count)
          if (document.text.size() > 64 || document.line < 1) fail("a document beyond its limits");
        return count;
      });
      if (path == lines && kind == TextDocument::line) break;
    }
}
