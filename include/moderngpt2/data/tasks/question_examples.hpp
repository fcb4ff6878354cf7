#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/data/tasks/examples.hpp"
#include "moderngpt2/data/tasks/labels.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"
#include "moderngpt2/tokenizer/utf8.hpp"

namespace moderngpt2 {

/// Byte offset of each token in `text`, then the end of the last one. Returns nullopt if the tokens do not spell the
/// text, for example with an unknown token.
std::optional<std::vector<int>> token_offsets(const Tokenizer& tokenizer, std::span<const int> ids,
                                              std::string_view text);

/// Byte offset of the `count`-th character (code point) of a text; its size for the end, nullopt beyond it.
std::optional<std::size_t> byte_of_character(std::string_view text, std::size_t count);

/// Question about a context, with its correct answers; none if the context has no answer.
struct Question {
  std::string id{}, context{};
  std::vector<std::string> answers{};
  std::vector<int> offsets{};  ///< byte offset of each token of the context, then the end
};

/// Window of a context. Its row of ids is the question, a line feed, and tokens of the context.
struct QuestionWindow {
  std::int64_t question = 0;
  int context_begin = 0;   ///< index in the row of the first token of the context
  int context_end = 0;     ///< index after the last token of the context
  int first_token = 0;     ///< index in the context of the window's first token
  int start = 0, end = 0;  ///< indices in the row of the answer's first and last token; 0: not in this window
};

/// Questions in SQuAD's format (Rajpurkar et al. 2016), each split into one or more overlapping windows that cover its
/// context. A window without the whole answer has the first token as label. Threads: several may read at once.
class QuestionExamples {
 public:
  RaggedRows rows;
  std::vector<QuestionWindow> windows;
  std::vector<Question> questions;
  LabelledExamples labelled;  ///< by question

  int sequences() const { return 1; }
  std::int64_t divisors(std::int64_t begin, std::int64_t end) const { return end - begin; }

  /// Adds a row. Throws Error that names the row for a missing or mistyped column, or an answer that is not at its
  /// answer_start.
  void add(const DataRow& row, const RowReader&, TextEncoder& encoder, LabelSet&, const ExampleOptions& options) {
    const auto text = [&](const char* column, const std::string& given) {
      return text_of(require_column(row, column_or(given, {column}), column, "text_column"), column, row.place);
    };
    const std::vector<std::string> given = split_names(options.text_column);
    if (!given.empty() && given.size() != 2)
      throw UsageError("{}: question answering needs two columns, such as question,context", Setting{"text_column"});
    std::string asked = text("question", given.empty() ? "" : given[0]);
    asked.erase(0, asked.find_first_not_of(" \t\r\n"));
    asked += '\n';
    Question question{.context = text("context", given.empty() ? "" : given[1])};
    const Json* id = first_column(row.fields, {"id"});
    question.id = id && id->is_string() ? id->get<std::string>() : std::to_string(questions.size());
    const auto [begin, end] = read_answers(row, options, question);
    std::vector<int> tokens = encoder.tokenizer().encode(question.context);
    const auto offsets = token_offsets(encoder.tokenizer(), tokens, question.context);
    if (!offsets)
      throw Error("{}: the tokenizer has no token for some of the context, so that answers cannot be found in it",
                  row.place.text());
    question.offsets = *offsets;
    add_windows(row, encoder, options.doc_stride, asked, tokens, *offsets, begin, end);
    questions.push_back(std::move(question));
  }

  bool has_unanswerable() const {
    for (std::size_t i = 0; i < questions.size(); ++i)
      if (labelled[std::int64_t(i)] && questions[i].answers.empty()) return true;
    return false;
  }

 private:
  /// Byte range [begin, end) of the first answer; empty without an answer.
  std::pair<int, int> read_answers(const DataRow& row, const ExampleOptions& options, Question& question) {
    const std::string where = row.place.text();
    const Json* const found =
        find_label(row, column_or(options.label_column, {"answers", "answer"}), "answers", options);
    labelled.add(found != nullptr);
    if (!found) return {0, 0};
    const Json& answers = *found;
    std::vector<std::int64_t> starts;
    const auto add = [&](const Json& text, const Json& start) {
      question.answers.push_back(json_as<std::string>(text, "answers.text", where));
      starts.push_back(json_as<std::int64_t>(start, "answers.answer_start", where));
    };
    if (answers.is_array()) {
      for (const Json& one : answers) {
        const Json* text = find_field(one, "text", where);
        const Json* start = find_field(one, "answer_start", where);
        if (!text || !start) throw Error("{}: an answer needs text and answer_start", where);
        add(*text, *start);
      }
    } else {
      const Json* texts = find_field(answers, "text", where);
      const Json* at = find_field(answers, "answer_start", where);
      if (!texts || !at || !texts->is_array() || !at->is_array() || texts->size() != at->size())
        throw Error("{}: answers must be lists text and answer_start of one length", where);
      for (std::size_t i = 0; i < texts->size(); ++i) add((*texts)[i], (*at)[i]);
    }
    std::pair<int, int> first{0, 0};
    for (std::size_t i = 0; i < starts.size(); ++i) {
      const std::string& answer = question.answers[i];
      const auto byte = starts[i] < 0 ? std::nullopt : byte_of_character(question.context, std::size_t(starts[i]));
      if (!byte || question.context.compare(*byte, answer.size(), answer) != 0 || answer.empty())
        throw Error("{}: the answer {} is not at character {} of the context", where, excerpt(answer, 40), starts[i]);
      if (i == 0) first = {int(*byte), int(*byte + answer.size())};
    }
    return first;
  }

  void add_windows(const DataRow& row, TextEncoder& encoder, int doc_stride, const std::string& asked,
                   const std::vector<int>& tokens, const std::vector<int>& offsets, int answer_begin, int answer_end) {
    const auto& suffix = encoder.tokenizer().suffix_ids();
    std::vector<int> head = encoder.tokenizer().prefix_ids();
    encoder.tokenizer().encode(asked, head);
    const int count = int(tokens.size());
    const int room = encoder.block_size() - int(head.size() + suffix.size());
    if (room < 1 || (count > room && room <= doc_stride))
      throw Error(
          "{}: the question has {} tokens, which leaves {} of {} {} for the context: more than {} {} are needed",
          row.place.text(), head.size(), std::max(room, 0), Setting{"block_size"}, encoder.block_size(),
          Setting{"doc_stride"}, doc_stride);
    int first = 0, last = -1;  // tokens of the answer
    if (answer_end > answer_begin) {
      while (first + 1 < count && offsets[std::size_t(first) + 1] <= answer_begin) ++first;
      last = first;
      while (offsets[std::size_t(last) + 1] < answer_end) ++last;
    }
    for (int begin = 0;; begin += room - doc_stride) {
      const int end = std::min(begin + room, count), place = int(head.size());
      QuestionWindow window{std::int64_t(questions.size()), place, place + end - begin, begin};
      if (last >= 0 && first >= begin && last < end)
        window.start = place + first - begin, window.end = place + last - begin;
      std::vector<int> ids = head;
      ids.insert(ids.end(), tokens.begin() + begin, tokens.begin() + end);
      ids.insert(ids.end(), suffix.begin(), suffix.end());
      rows.add(ids);
      windows.push_back(window);
      if (end == count) break;
    }
  }
};

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2 {

namespace detail {

/// Offset in `text` after the text of a token, which begins at offset `at`; nullopt if `text` does not continue with
/// it. Accepts what tokenizers change: dropped white space, a space before the first word, lower case.
inline std::optional<std::size_t> end_of_token_text(std::string_view token, std::string_view text, std::size_t at) {
  if (text.substr(at).starts_with(token)) return at + token.size();
  const auto is_space = [](char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; };
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  if (token.starts_with(' ')) {
    token.remove_prefix(1);
    while (at < text.size() && is_space(text[at])) ++at;
  }
  if (text.size() - at < token.size()) return std::nullopt;
  for (const char c : token)
    if (lower(text[at++]) != lower(c)) return std::nullopt;
  return at;
}

}  // namespace detail

MODERNGPT2_INLINE std::optional<std::vector<int>> token_offsets(const Tokenizer& tokenizer, std::span<const int> ids,
                                                                std::string_view text) {
  std::vector<int> offsets{0};
  std::size_t at = 0;
  for (const int id : ids) {
    auto end = detail::end_of_token_text(tokenizer.token_text(id), text, at);
    // The text may contain the space mark itself.
    if (!end && text.substr(at).starts_with(tokenizer.token(id))) end = at + tokenizer.token(id).size();
    if (!end) {
      std::string first = tokenizer.token_text(id);  // the decoder puts a space before each word
      if (at == 0 && !first.starts_with(' ')) end = detail::end_of_token_text(" " + first, text, at);
    }
    if (!end) return std::nullopt;
    at = *end;
    offsets.push_back(int(at));
  }
  if (text.find_first_not_of(" \n\r\t", at) != text.npos) return std::nullopt;
  return offsets;
}

MODERNGPT2_INLINE std::optional<std::size_t> byte_of_character(std::string_view text, std::size_t count) {
  std::size_t at = 0;
  for (; count > 0 && at < text.size(); --count) {
    ++at;
    while (at < text.size() && detail::is_utf8_continuation(text[at])) ++at;
  }
  if (count > 0) return std::nullopt;
  return at;
}

}  // namespace moderngpt2

#endif
