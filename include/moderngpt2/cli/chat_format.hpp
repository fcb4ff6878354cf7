#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/tokenizer/chat_template.hpp"
#include "moderngpt2/tokenizer/jinja.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"

namespace moderngpt2 {

/// Text format of a chat. automatic: the checkpoint's chat template, or plain if it has none; plain: lines without
/// markup; header, chatml, gemma: templates of tokenizer/chat_template.hpp.
enum class ChatFormat : unsigned char { automatic, plain, header, chatml, gemma };

/// Texts that a chat template puts around messages.
struct ChatPieces {
  std::string begin;                           ///< before the first message of the user
  std::optional<std::string> begin_of_system;  ///< before the system prompt; nullopt if the template refuses one
  std::string end_of_system;                   ///< from the system prompt to the first message of the user
  std::string prompt_end;                      ///< after the last message of the user, for the model to continue
  std::string question_end;                    ///< from an earlier message of the user to its answer
  std::string answer_end;                      ///< from an answer to the next message of the user
  bool trims = false;                          ///< whether the template removes white space around messages

  /// Finds the texts by rendering short conversations. Throws an Error for a template that is not supported, or whose
  /// texts depend on the number of messages.
  static ChatPieces of(const ChatTemplate& chat);
};

/// Encodes conversations in the format of a chat template. Messages are ordinary text: special tokens that a user types
/// are not encoded as such.
class ChatMarkup {
 public:
  /// Throws an Error that names a control token of the template that the tokenizer lacks.
  ChatMarkup(Tokenizer tokenizer, const ChatTemplate& chat);

  const ChatPieces& pieces() const { return pieces_; }
  /// Token that ends an answer: the first token of the text after the answer, if it is a special token.
  std::optional<int> end_of_turn() const { return end_of_turn_; }

  /// Token ids of a message between two texts of the template.
  std::vector<int> encode(std::string_view before, std::string_view message, std::string_view after) const;
  /// Token ids of the beginning of a chat: optional system prompt, first message, and the text `after` it.
  std::vector<int> encode_begin(const std::optional<std::string>& system_prompt, std::string_view message,
                                std::string_view after) const;

 private:
  /// Appends a text of the template: ids of control tokens; other text is collected in `plain`.
  void append_piece(std::string_view piece, std::string& plain, std::vector<int>& ids) const;
  void append_message(std::string_view message, std::string& plain) const;
  /// Length of the control token at the start of a text; 0 without one.
  std::size_t control_token(std::string_view text) const;

  Tokenizer tokenizer_;
  std::string where_;
  std::vector<std::string> special_;  // special tokens of the tokenizer, long ones first
  ChatPieces pieces_;
  std::optional<int> end_of_turn_;
};

/// Returns the markup of a chat format; nullopt for plain. Throws an Error if the format is automatic and the
/// checkpoint's template is not supported.
std::optional<ChatMarkup> chat_markup(ChatFormat format, const std::filesystem::path& folder,
                                      const Tokenizer& tokenizer);

/// Token ids of a chat. Answers keep the ids that the model generated, so that the KV cache stays valid.
class ChatHistory {
 public:
  /// Throws a UsageError for a system prompt that the template refuses.
  ChatHistory(ChatMarkup markup, std::optional<std::string> system_prompt)
      : markup_(std::move(markup)), system_prompt_(std::move(system_prompt)) {
    if (system_prompt_ && !markup_.pieces().begin_of_system)
      throw UsageError("--system_prompt: the chat format does not support a system prompt");
  }

  struct Prompt {
    std::vector<int> ids;       ///< the chat up to the beginning of the answer
    std::size_t dropped_turns;  ///< number of turns (message and answer) dropped to make it fit
  };

  /// Returns the prompt for a new message. If it exceeds `most_tokens`, whole turns are dropped from the beginning; the
  /// system prompt stays. The new message alone may still be longer.
  Prompt ask(std::string message, std::size_t most_tokens) {
    question_ = std::move(message);
    Prompt prompt;
    for (dropped_turns_ = 0;; ++dropped_turns_) {
      prompt = {ids_from(dropped_turns_), dropped_turns_};
      if (prompt.ids.size() <= most_tokens || dropped_turns_ == turns_.size()) return prompt;
    }
  }

  /// Stores the last message with its answer. Without this call, the message is not part of the chat.
  void answer(std::span<const int> tokens) {
    turns_.erase(turns_.begin(), turns_.begin() + std::ptrdiff_t(dropped_turns_));
    dropped_turns_ = 0;
    turns_.push_back({std::move(question_), {tokens.begin(), tokens.end()}});
  }

  const ChatMarkup& markup() const { return markup_; }

 private:
  struct Turn {
    std::string question;
    std::vector<int> answer;
  };

  /// Ids of the turns from `first` on and the last message.
  std::vector<int> ids_from(std::size_t first) const {
    std::vector<int> ids;
    const ChatPieces& pieces = markup_.pieces();
    for (std::size_t i = first; i <= turns_.size(); ++i) {
      const std::string& question = i < turns_.size() ? turns_[i].question : question_;
      const std::string& end = i < turns_.size() ? pieces.question_end : pieces.prompt_end;
      const std::vector<int> asked = i == first ? markup_.encode_begin(system_prompt_, question, end)
                                                : markup_.encode(pieces.answer_end, question, end);
      ids.insert(ids.end(), asked.begin(), asked.end());
      if (i < turns_.size()) ids.insert(ids.end(), turns_[i].answer.begin(), turns_[i].answer.end());
    }
    return ids;
  }

  ChatMarkup markup_;
  std::optional<std::string> system_prompt_;
  std::vector<Turn> turns_;
  std::string question_;           // last message
  std::size_t dropped_turns_ = 0;  // number of first turns that did not fit with it
};

inline ChatPieces ChatPieces::of(const ChatTemplate& chat) {
  const auto render = [&](const std::vector<std::string>& texts, bool with_system) {
    Json variables = chat.tokens;
    variables["add_generation_prompt"] = true;
    variables["messages"] = Json::array();
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const bool is_system = with_system && i == 0, is_user = (i + (with_system ? 1 : 0)) % 2 == 0;
      variables["messages"].push_back({{"role", is_system ? "system"
                                                : is_user ? "user"
                                                          : "assistant"},
                                       {"content", texts[i]}});
    }
    return render_jinja(chat.jinja, variables);
  };
  /// Divides a rendered conversation at its messages.
  const auto divide = [&](const std::vector<std::string>& texts, bool with_system) {
    const std::string whole = render(texts, with_system);
    std::vector<std::string> pieces;
    std::size_t from = 0;
    for (const std::string& text : texts) {
      const std::size_t at = whole.find(text, from);
      if (at == whole.npos || whole.find(text, at + 1) != whole.npos)
        throw Error("the template does not insert each message exactly once and unchanged");
      pieces.push_back(whole.substr(from, at - from));
      from = at + text.size();
    }
    pieces.push_back(whole.substr(from));
    return pieces;
  };
  // Texts that no template contains.
  const std::string system = "qzSystemzq", one = "qzOnezq", two = "qzTwozq", three = "qzThreezq", four = "qzFourzq",
                    five = "qzFivezq";
  ChatPieces out;
  const std::vector<std::string> pieces = divide({one, two, three}, false);
  out.begin = pieces[0], out.question_end = pieces[1], out.answer_end = pieces[2], out.prompt_end = pieces[3];
  out.trims = render({" " + one + " "}, false).find(" " + one + " ") == std::string::npos;
  const std::string long_chat = out.begin + one + out.question_end + two + out.answer_end + three + out.question_end +
                                four + out.answer_end + five + out.prompt_end;
  if (render({one}, false) != out.begin + one + out.prompt_end ||
      render({one, two, three, four, five}, false) != long_chat)
    throw Error("the text around a message depends on its position in the chat");
  std::vector<std::string> with_system;
  try {
    with_system = divide({system, one, two, three}, true);
  } catch (const Error&) {
    return out;
  }
  if (with_system[2] != out.question_end || with_system[3] != out.answer_end || with_system[4] != out.prompt_end)
    throw Error("the text around messages depends on the system prompt");
  out.begin_of_system = with_system[0], out.end_of_system = with_system[1];
  return out;
}

inline ChatMarkup::ChatMarkup(Tokenizer tokenizer, const ChatTemplate& chat)
    : tokenizer_(std::move(tokenizer)), where_(chat.where) {
  for (int id = 0; id < tokenizer_.vocab_size(); ++id)
    if (tokenizer_.is_special(id) && !tokenizer_.token(id).empty()) special_.push_back(tokenizer_.token(id));
  std::ranges::stable_sort(special_, [](const auto& a, const auto& b) { return a.size() > b.size(); });
  try {
    pieces_ = ChatPieces::of(chat);
  } catch (const Error& error) {
    throw Error("{}: {}. Choose --chat_format plain, header, chatml or gemma.", where_, error.what());
  }
  // Checks the tokens.
  (void)encode_begin(pieces_.begin_of_system ? std::optional<std::string>("") : std::nullopt, "", pieces_.question_end);
  (void)encode_begin(std::nullopt, "", pieces_.prompt_end);
  const std::vector<int> after = encode(pieces_.answer_end, "", "");
  if (!after.empty() && tokenizer_.is_special(after.front())) end_of_turn_ = after.front();
}

inline std::size_t ChatMarkup::control_token(std::string_view text) const {
  for (const std::string& token : special_)
    if (text.starts_with(token)) return token.size();
  // Names in the form of control tokens: <|im_start|>, <start_of_turn>, </s>.
  const std::size_t end = text.find('>');
  if (text.size() < 3 || text[0] != '<' || end == text.npos || end > 40) return 0;
  if (text[1] != '|' && text[1] != '/' && !(text[1] >= 'a' && text[1] <= 'z')) return 0;
  const std::string_view name = text.substr(0, end + 1);
  if (name.find_first_of(" \t\n<", 1) != name.npos) return 0;
  const std::vector<int> ids = tokenizer_.encode(name);
  if (ids.size() == 1 && tokenizer_.id(name) == ids.front()) return name.size();
  throw Error(
      "{}: the tokenizer has no token {}, which the chat format requires. Use --chat_format plain, or a tokenizer with "
      "this token (train_tokenizer --chat_tokens adds those of the header format).",
      where_, name);
}

inline void ChatMarkup::append_piece(std::string_view piece, std::string& plain, std::vector<int>& ids) const {
  while (!piece.empty()) {
    if (const std::size_t length = control_token(piece); length > 0) {
      tokenizer_.encode(std::exchange(plain, {}), ids, true);
      ids.push_back(*tokenizer_.id(piece.substr(0, length)));
      piece.remove_prefix(length);
    } else {
      plain.push_back(piece.front());
      piece.remove_prefix(1);
    }
  }
}

inline void ChatMarkup::append_message(std::string_view message, std::string& plain) const {
  constexpr std::string_view white = " \t\r\n";
  if (pieces_.trims) {
    message.remove_prefix(std::min(message.find_first_not_of(white), message.size()));
    message.remove_suffix(message.size() - (message.find_last_not_of(white) + 1));
  }
  plain += message;
}

inline std::vector<int> ChatMarkup::encode(std::string_view before, std::string_view message,
                                           std::string_view after) const {
  std::vector<int> ids;
  std::string plain;
  append_piece(before, plain, ids);
  append_message(message, plain);
  append_piece(after, plain, ids);
  tokenizer_.encode(plain, ids, true);
  return ids;
}

inline std::vector<int> ChatMarkup::encode_begin(const std::optional<std::string>& system_prompt,
                                                 std::string_view message, std::string_view after) const {
  if (!system_prompt) return encode(pieces_.begin, message, after);
  std::vector<int> ids;
  std::string plain;
  append_piece(*pieces_.begin_of_system, plain, ids);
  append_message(*system_prompt, plain);
  append_piece(pieces_.end_of_system, plain, ids);
  append_message(message, plain);
  append_piece(after, plain, ids);
  tokenizer_.encode(plain, ids, true);
  return ids;
}

inline std::optional<ChatMarkup> chat_markup(ChatFormat format, const std::filesystem::path& folder,
                                             const Tokenizer& tokenizer) {
  const auto named = [&](const char* flag, std::string jinja) {
    return ChatMarkup(tokenizer, {std::move(jinja), std::string("--chat_format ") + flag, special_token_names(folder)});
  };
  switch (format) {
    case ChatFormat::plain:
      return std::nullopt;
    case ChatFormat::header:
      return named("header", chat_jinja_template());
    case ChatFormat::chatml:
      return named("chatml", chatml_jinja_template);
    case ChatFormat::gemma:
      return named("gemma", gemma_jinja_template);
    case ChatFormat::automatic:
      break;
  }
  const std::optional<ChatTemplate> chat = read_chat_template(folder);
  if (!chat) return std::nullopt;
  return ChatMarkup(tokenizer, *chat);
}

}  // namespace moderngpt2
