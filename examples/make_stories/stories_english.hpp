#pragma once

#include <cctype>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "make_stories/stories_english_plots.hpp"
#include "make_stories/story_template.hpp"

namespace moderngpt2::detail::english {

struct Person {
  std::string_view name;
  bool female;
};
struct Noun {
  std::string_view one, many;
  bool operator==(const Noun& other) const { return one == other.one; }
};
struct Place {
  std::string_view name, in;
  bool operator==(const Place& other) const { return name == other.name; }
};
struct Habits {
  Noun noun;
  std::string_view home, food, body, sound;
};

inline constexpr std::string_view girls[] = {"Mary", "Anna", "Lucy", "Emma", "Sara",  "Julia", "Nina", "Rose",  "Ella",
                                             "Kate", "Lily", "Mia",  "Jane", "Alice", "Clara", "Ruth", "Helen", "Zoe"};
inline constexpr std::string_view boys[] = {"Tom", "Ben",  "Jack", "Sam",  "Max",   "Leo",  "Paul", "Peter", "Oscar",
                                            "Tim", "Adam", "Hugo", "Mark", "David", "Luke", "Noah", "Felix", "Ian"};
inline constexpr std::string_view elders_female[] = {"mother", "grandmother", "aunt", "sister"};
inline constexpr std::string_view elders_male[] = {"father", "grandfather", "uncle", "brother"};
inline constexpr Noun foods[] = {{"apple", "apples"},
                                 {"orange", "oranges"},
                                 {"pear", "pears"},
                                 {"cookie", "cookies"},
                                 {"cherry", "cherries"},
                                 {"egg", "eggs"},
                                 {"peach", "peaches"},
                                 {"nut", "nuts"},
                                 {"strawberry", "strawberries"},
                                 {"carrot", "carrots"},
                                 {"sandwich", "sandwiches"},
                                 {"plum", "plums"}};
inline constexpr Noun small_things[] = {{"stamp", "stamps"},   {"shell", "shells"},     {"marble", "marbles"},
                                        {"button", "buttons"}, {"leaf", "leaves"},      {"pencil", "pencils"},
                                        {"card", "cards"},     {"feather", "feathers"}, {"stone", "stones"},
                                        {"ribbon", "ribbons"}, {"acorn", "acorns"},     {"candle", "candles"}};
inline constexpr std::string_view things[] = {"ball", "book", "kite",   "hat",  "umbrella", "drum",  "doll",
                                              "boat", "coat", "basket", "lamp", "train",    "watch", "bag"};
inline constexpr std::string_view looks[] = {"red",   "blue", "green", "yellow", "old",    "new",
                                             "small", "big",  "white", "brown",  "orange", "beautiful"};
inline constexpr std::string_view colours[] = {"red", "blue", "green", "yellow", "white", "orange", "purple"};
inline constexpr std::string_view pet_names[] = {"Rex",  "Luna",   "Snowy",  "Biscuit",
                                                 "Coco", "Shadow", "Ginger", "Bella"};
inline constexpr Place places[] = {
    {"park", "in the park"},     {"beach", "at the beach"},   {"forest", "in the forest"},
    {"market", "at the market"}, {"school", "at the school"}, {"lake", "at the lake"},
    {"farm", "on the farm"},     {"hill", "on the hill"},     {"library", "in the library"},
    {"garden", "in the garden"}, {"river", "at the river"},   {"station", "at the station"}};
inline constexpr std::string_view spots[] = {"under the bed",      "behind the door",    "in the kitchen",
                                             "under the old tree", "behind the chair",   "in the cupboard",
                                             "on the roof",        "next to the stairs", "in the shed",
                                             "under a blanket",    "near the gate",      "on the window sill"};
inline constexpr std::string_view boxes[] = {"box", "basket", "drawer", "jar", "bag", "bucket", "chest"};
inline constexpr std::string_view jobs[] = {"doctor", "artist",   "engineer", "teacher",   "baker",  "actor",
                                            "pilot",  "inventor", "nurse",    "astronaut", "farmer", "gardener"};
inline constexpr std::string_view days[] = {"Monday", "Tuesday",  "Wednesday", "Thursday",
                                            "Friday", "Saturday", "Sunday"};
inline constexpr Noun pets[] = {{"dog", "dogs"},   {"cat", "cats"},    {"puppy", "puppies"},  {"rabbit", "rabbits"},
                                {"duck", "ducks"}, {"pony", "ponies"}, {"kitten", "kittens"}, {"parrot", "parrots"}};
inline constexpr Habits wild[] = {{{"mouse", "mice"}, "under the barn", "seeds", "tail", "squeak"},
                                  {{"goose", "geese"}, "by the pond", "grass", "neck", "hiss"},
                                  {{"fox", "foxes"}, "in the forest", "berries", "tail", "bark"},
                                  {{"sheep", "sheep"}, "on the hill", "grass", "coat", "bleat"},
                                  {{"owl", "owls"}, "in an old tree", "mice", "beak", "hoot"},
                                  {{"frog", "frogs"}, "near the lake", "flies", "tongue", "croak"},
                                  {{"wolf", "wolves"}, "in the mountains", "meat", "nose", "howl"},
                                  {{"pony", "ponies"}, "on the farm", "hay", "mane", "neigh"},
                                  {{"eagle", "eagles"}, "on a high rock", "fish", "beak", "scream"},
                                  {{"cow", "cows"}, "in the meadow", "grass", "tongue", "moo"}};

inline bool is_vowel(char c) { return std::string_view("aeiou").find(c) != std::string_view::npos; }

inline std::string with_article(std::string_view noun) {
  return (is_vowel(noun[0]) ? "an " : "a ") + std::string(noun);
}

/// The present tense of a regular verb, and of be, have, do, go: with an -s for one subject, without for many.
inline std::string conjugate(std::string_view verb, bool plural) {
  const std::string base(verb);
  if (verb == "was") return plural ? "were" : "was";
  if (verb == "is") return plural ? "are" : "is";
  if (plural) return base;
  if (verb == "have") return "has";
  if (verb == "do" || verb == "go") return base + "es";
  const char last = verb.back();
  const char before = verb[verb.size() - 2];
  if (last == 's' || last == 'x' || (last == 'h' && (before == 's' || before == 'c'))) return base + "es";
  if (last == 'y' && !is_vowel(before)) return base.substr(0, base.size() - 1) + "ies";
  return base + "s";
}

/// One white space between words, and a capital letter at the start of each sentence and quotation.
inline std::string tidy(std::string_view text) {
  std::string out;
  bool capital = true;
  for (const char c : text) {
    const bool space = c == ' ' || c == '\n';
    if (space && (out.empty() || out.back() == ' ')) continue;
    if (space) {
      const std::size_t end = out.find_last_not_of('"');
      const bool quoted = end + 1 < out.size();
      capital = end != std::string::npos && (out[end] == '.' || (!quoted && (out[end] == '!' || out[end] == '?')));
      out += ' ';
    } else if (c == '"') {
      capital = capital || out.empty() || out.back() == ' ';
      out += c;
    } else {
      out += capital ? static_cast<char>(std::toupper(static_cast<unsigned char>(c))) : c;
      capital = false;
    }
  }
  while (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

/// The people and things of one story. B is of the other gender than A, so that a pronoun has one meaning.
class Scene : public StoryScene {
 public:
  explicit Scene(StoryDice& dice) {
    const bool female = dice.chance(50);
    add_person("A", {dice.pick(names(female)), female});
    add_person("B", {dice.pick(names(!female)), !female});
    add_person("C", {dice.pick_other(names(female), word("A")), female});
  }

  /// New things, places and numbers for the next plot; the people stay.
  void renew(StoryDice& dice, bool first) {
    words["When"] = expand(first ? first_times : later_times, dice, [&](std::string_view) { return dice.pick(days); });
    const bool female = dice.chance(50);
    words["E"] = female ? dice.pick(elders_female) : dice.pick(elders_male);
    add_pronouns("E", female);
    add_thing("T", dice, "", "");
    add_thing("U", dice, word("T.noun"), word("T.look"));
    add_noun("F", dice.pick(foods));
    add_noun("X", dice.chance(40) ? dice.pick(foods) : dice.pick(small_things));
    add_noun("P", dice.pick(pets));
    const Place& here = dice.pick(places);
    const Place& there = dice.pick_other(places, here);
    words["L"] = here.name, words["L.in"] = here.in;
    words["M"] = there.name, words["M.in"] = there.in;
    words["spot"] = dice.pick(spots);
    words["spot2"] = dice.pick_other(spots, word("spot"));
    words["F.other"] = dice.pick_other(foods, Noun{word("F"), ""}).many;
    words["paint"] = dice.pick(colours);
    words["paint.a"] = with_article(word("paint"));
    words["flower"] = dice.pick(colours);
    words["petname"] = dice.pick(pet_names);
    words["box"] = dice.pick(boxes);
    words["box2"] = dice.pick_other(boxes, word("box"));
    words["job"] = dice.pick(jobs);
    words["job.a"] = with_article(word("job"));
    const std::size_t day = dice.below(7);
    words["day"] = days[day];
    words["day+1"] = days[(day + 1) % 7];
    words["day+2"] = days[(day + 2) % 7];
    plural_ = dice.chance(50);
    const Habits& habits = dice.pick(wild);
    words["G"] = plural_ ? std::string(habits.noun.many) : std::string(habits.noun.one);
    words["G.one"] = habits.noun.one;
    words["G.a"] = plural_ ? word("G") : with_article(habits.noun.one);
    words["G.it"] = plural_ ? "they" : "it";
    words["G.its"] = plural_ ? "their" : "its";
    words["G.them"] = plural_ ? "them" : "it";
    words["G.many"] = habits.noun.many;
    words["wilds"] = (dice.chance(50) ? "two " : "some ") + std::string(habits.noun.many);
    words["G.home"] = habits.home, words["G.food"] = habits.food;
    sound_ = habits.sound;
    words["G.body"] = std::string(habits.body) + (plural_ ? "s" : "");
    words["G.a body"] = plural_ ? std::string("long ") + word("G.body") : std::string("a long ") + word("G.body");
    const int n = dice.between(3, 12);
    numbers = {{'n', n},
               {'m', dice.between(2, 9)},
               {'k', dice.between(1, n - 1)},
               {'g', dice.between(2, 5)},
               {'h', dice.between(2, 6)},
               {'a', dice.between(5, 12)},
               {'d', dice.between(1, 6)}};
  }

  /// {A.his}; {n+m X}: "1 apple", "7 apples"; {n year}; {G!eat}: the verb in the number of the animals G.
  std::string operator()(std::string_view key) const {
    if (is_number(key)) {
      const std::size_t space = key.find(' ');
      const int value = evaluate(key.substr(0, space));
      if (space == std::string_view::npos) return std::to_string(value);
      const std::string noun(key.substr(space + 1));
      const bool known = words.count(noun) > 0;
      const std::string many = known ? word(noun + ".s") : noun + "s";
      return std::to_string(value) + " " + (value != 1 ? many : known ? word(noun) : noun);
    }
    const std::size_t verb = key.find('!');
    if (verb != std::string_view::npos) return conjugate(key == "G!sound" ? sound_ : key.substr(verb + 1), plural_);
    return word(key);
  }

 private:
  static const std::string_view (&names(bool female))[18] { return female ? girls : boys; }

  void add_pronouns(const std::string& key, bool female) {
    words[key + ".he"] = female ? "she" : "he";
    words[key + ".his"] = female ? "her" : "his";
    words[key + ".him"] = female ? "her" : "him";
    words[key + ".himself"] = female ? "herself" : "himself";
    words[key + ".boy"] = female ? "girl" : "boy";
    words[key + ".brother"] = female ? "sister" : "brother";
  }
  void add_person(const std::string& key, const Person& person) {
    words[key] = person.name;
    add_pronouns(key, person.female);
  }
  void add_noun(const std::string& key, const Noun& noun) {
    words[key] = noun.one;
    words[key + ".a"] = with_article(noun.one);
    words[key + ".s"] = noun.many;
  }
  /// Drawn in two statements: the order of a call's arguments is the compiler's, and stories must not depend on it.
  void add_thing(const std::string& key, StoryDice& dice, std::string_view other_noun, std::string_view other_look) {
    const std::string_view noun = dice.pick_other(things, other_noun);
    const std::string_view look = dice.pick_other(looks, other_look);
    words[key] = std::string(look) + " " + std::string(noun);
    words[key + ".a"] = with_article(word(key));
    words[key + ".noun"] = noun;
    words[key + ".noun.a"] = with_article(noun);
    words[key + ".look"] = look;
    words[key + ".look.a"] = with_article(look);
  }

  bool plural_ = false;
  std::string_view sound_;
};

/// One story of one or two plots with the same people.
inline std::string story(StoryDice& dice) {
  Scene scene(dice);
  scene.renew(dice, true);
  std::string text = dice.chance(40) ? tidy(expand(opening, dice, scene)) + " " : "";
  const std::size_t first = dice.below(std::size(plots));
  text += tidy(expand(plots[first], dice, scene));
  if (dice.chance(35)) {
    scene.renew(dice, false);
    const std::size_t second = (first + 1 + dice.below(std::size(plots) - 1)) % std::size(plots);
    text += "\n" + tidy(expand(plots[second], dice, scene));
  }
  if (dice.chance(30)) text += " " + tidy(expand(closing, dice, scene));
  return text;
}

}  // namespace moderngpt2::detail::english
