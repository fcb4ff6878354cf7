#pragma once

#include <span>
#include <string_view>

/// Words and templates of one language. Templates have the syntax of story_template.hpp. A question has several
/// wordings, [one|other]; an answer has one, so that it can be compared.
namespace moderngpt2::detail {

struct DialogueTurnTemplate {
  std::string_view question, answer;
};

/// Pair of related words: country and capital, word and opposite, thing and colour.
struct WordPair {
  std::string_view first, second;
};

/// Category of favourites.
struct Favourites {
  std::string_view category;
  std::span<const std::string_view> values;
};

struct DialogueWords {
  std::span<const std::string_view> names, helpers, pets, pet_names;
  std::span<const WordPair> things;  ///< in the plural; their counter, where the language has one
  std::span<const WordPair> countries, opposites, colours;
  std::span<const Favourites> favourites;

  std::string_view system;                                           ///< {helper}
  DialogueTurnTemplate introduce, ask_name, no_name;                 // {name}
  DialogueTurnTemplate tell_favourite, ask_favourite, no_favourite;  // {category} {value}
  DialogueTurnTemplate tell_pet, ask_pet, no_pet;                    // {pet} {petname}
  DialogueTurnTemplate have, more, fewer, how_many;                  // {n} {m} {t} {things} {counter}
  DialogueTurnTemplate sum, difference, larger;                      // {a} {b} {c}
  DialogueTurnTemplate capital, country, opposite, colour;           // {first} {second}
  DialogueTurnTemplate helper, no_helper;                            // {helper}
  DialogueTurnTemplate thanks, thanks_by_name;                       // {name}
};

}  // namespace moderngpt2::detail
