#pragma once

#include <string_view>

#include "make_dialogues/dialogue_words.hpp"

namespace moderngpt2::detail::english_dialogue {

inline constexpr std::string_view names[] = {"Anna", "Ben",   "Carla", "David", "Emma",   "Frank", "Grace", "Henry",
                                             "Iris", "Jack",  "Kate",  "Leo",   "Mary",   "Nina",  "Oscar", "Paul",
                                             "Rosa", "Simon", "Tina",  "Uma",   "Victor", "Wendy", "Yuki",  "Zoe"};
inline constexpr std::string_view helpers[] = {"Robin", "Ada", "Max", "Echo", "Nova", "Pixel", "Sunny", "Atlas"};
inline constexpr std::string_view pets[] = {"dog", "cat", "horse", "rabbit", "bird", "turtle", "mouse", "goat"};
inline constexpr std::string_view pet_names[] = {"Rex",  "Luna", "Milo",   "Bella", "Coco",   "Daisy",
                                                 "Toby", "Ruby", "Shadow", "Nala",  "Pepper", "Oreo"};
inline constexpr WordPair things[] = {{"apples", ""}, {"books", ""},  {"coins", ""},   {"pears", ""}, {"pencils", ""},
                                      {"stones", ""}, {"stamps", ""}, {"cookies", ""}, {"balls", ""}, {"shells", ""}};
inline constexpr WordPair countries[] = {
    {"France", "Paris"},    {"Japan", "Tokyo"},    {"Italy", "Rome"},     {"Spain", "Madrid"},
    {"Germany", "Berlin"},  {"England", "London"}, {"Egypt", "Cairo"},    {"Greece", "Athens"},
    {"Norway", "Oslo"},     {"Poland", "Warsaw"},  {"Russia", "Moscow"},  {"China", "Beijing"},
    {"Korea", "Seoul"},     {"Peru", "Lima"},      {"Cuba", "Havana"},    {"Kenya", "Nairobi"},
    {"Portugal", "Lisbon"}, {"Austria", "Vienna"}, {"Ireland", "Dublin"}, {"Sweden", "Stockholm"}};
inline constexpr WordPair opposites[] = {{"hot", "cold"},   {"big", "small"},   {"fast", "slow"},   {"old", "young"},
                                         {"high", "low"},   {"light", "dark"},  {"full", "empty"},  {"early", "late"},
                                         {"happy", "sad"},  {"open", "closed"}, {"rich", "poor"},   {"wet", "dry"},
                                         {"hard", "soft"},  {"loud", "quiet"},  {"strong", "weak"}, {"up", "down"},
                                         {"left", "right"}, {"day", "night"},   {"near", "far"},    {"clean", "dirty"},
                                         {"long", "short"}, {"good", "bad"},    {"first", "last"},  {"sweet", "sour"}};
inline constexpr WordPair colours[] = {
    {"the sky", "blue"}, {"grass", "green"},     {"snow", "white"},      {"coal", "black"},     {"a banana", "yellow"},
    {"blood", "red"},    {"milk", "white"},      {"a lemon", "yellow"},  {"a frog", "green"},   {"a tomato", "red"},
    {"the sea", "blue"}, {"a carrot", "orange"}, {"chocolate", "brown"}, {"a flamingo", "pink"}};

inline constexpr std::string_view colour_values[] = {"red",   "blue",  "green",  "yellow",
                                                     "black", "white", "purple", "orange"};
inline constexpr std::string_view food_values[] = {"bread", "rice", "soup", "pizza", "cheese", "fish", "salad", "cake"};
inline constexpr std::string_view animal_values[] = {"lion", "tiger", "whale", "eagle", "fox", "bear", "owl", "panda"};
inline constexpr std::string_view sport_values[] = {"tennis", "football", "swimming", "running", "chess", "judo"};
inline constexpr std::string_view season_values[] = {"spring", "summer", "autumn", "winter"};
inline constexpr std::string_view drink_values[] = {"tea", "coffee", "milk", "water", "juice", "cocoa"};
inline constexpr std::string_view city_values[] = {"Paris", "Tokyo", "Rome", "Berlin",
                                                   "Cairo", "Oslo",  "Lima", "Seoul"};
inline constexpr Favourites favourites[] = {
    {"colour", colour_values}, {"food", food_values},   {"animal", animal_values}, {"sport", sport_values},
    {"season", season_values}, {"drink", drink_values}, {"city", city_values}};

inline constexpr DialogueWords words{
    .names = names,
    .helpers = helpers,
    .pets = pets,
    .pet_names = pet_names,
    .things = things,
    .countries = countries,
    .opposites = opposites,
    .colours = colours,
    .favourites = favourites,
    .system = "[You are a helper called {helper}.|Your name is {helper}.]",
    .introduce = {"[My name is|I am|Hello, I am|Hi, my name is] {name}.", "Nice to meet you, {name}."},
    .ask_name = {"[What is my name?|Do you know my name?|Who am I?|Tell me my name.]", "Your name is {name}."},
    .no_name = {"[What is my name?|Do you know my name?|Who am I?|Tell me my name.]",
                "You have not told me your name."},
    .tell_favourite = {"[My favourite {category} is {value}.|The {category} that I like best is {value}.]",
                       "I will remember that your favourite {category} is {value}."},
    .ask_favourite = {"[What is my favourite {category}?|Which {category} do I like best?|Do you remember my favourite "
                      "{category}?]",
                      "Your favourite {category} is {value}."},
    .no_favourite = {"[What is my favourite {category}?|Which {category} do I like best?|Do you remember my favourite "
                     "{category}?]",
                     "You have not told me your favourite {category}."},
    .tell_pet = {"[I have a {pet} called {petname}.|My {pet} is called {petname}.]",
                 "I would like to see your {pet} {petname}."},
    .ask_pet = {"[What is my {pet} called?|What is the name of my {pet}?]", "Your {pet} is called {petname}."},
    .no_pet = {"[What is my {pet} called?|What is the name of my {pet}?]", "You have not told me about a {pet}."},
    .have = {"[I have {n} {things}.|There are {n} {things} in my bag.]", "I see, you have {n} {things}."},
    .more = {"[My friend gives me {m} more.|I buy {m} more.|I find {m} more.]", "Then you have {t} {things}."},
    .fewer = {"[I give {m} of them away.|I lose {m} of them.|I sell {m} of them.]", "Then you have {t} {things}."},
    .how_many = {"[How many {things} do I have?|How many {things} are there now?]", "You have {n} {things}."},
    .sum = {"[What is {a} plus {b}?|How much is {a} plus {b}?|Add {a} and {b}.]", "The sum of {a} and {b} is {c}."},
    .difference = {"[What is {a} minus {b}?|How much is {a} minus {b}?|Take {b} from {a}.]",
                   "If you take {b} from {a}, {c} is left."},
    .larger = {"[Which is larger, {a} or {b}?|Which number is larger: {a} or {b}?]", "The larger number is {c}."},
    .capital =
        {"[What is the capital of {first}?|Tell me the capital of {first}.|Which city is the capital of {first}?]",
         "The capital of {first} is {second}."},
    .country = {"[Where is {second}?|In which country is {second}?]", "The city of {second} is in {first}."},
    .opposite = {"[What is the opposite of {first}?|Tell me the opposite of {first}.]",
                 "The opposite of {first} is {second}."},
    .colour = {"[What colour is {first}?|Tell me the colour of {first}.]", "It is {second}."},
    .helper = {"[What is your name?|Who are you?]", "My name is {helper}."},
    .no_helper = {"[What is your name?|Who are you?]", "I am a small language model."},
    .thanks = {"[Thank you.|Thanks!|That is all, thank you.]", "You are welcome."},
    .thanks_by_name = {"[Thank you.|Thanks!|That is all, thank you.]", "You are welcome, {name}."},
};

}  // namespace moderngpt2::detail::english_dialogue
