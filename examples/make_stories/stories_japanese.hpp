#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "make_stories/stories_japanese_plots.hpp"
#include "make_stories/story_template.hpp"

namespace moderngpt2::detail::japanese {

struct Noun {
  std::string_view word, counter;
  bool operator==(const Noun& other) const { return word == other.word; }
};
struct Habits {
  std::string_view animal, home, food, body;
};

inline constexpr std::string_view girls[] = {"ゆき",   "はな", "さくら", "あい", "まり", "ゆい",
                                             "みさき", "なお", "りん",   "花子", "恵子", "美香",
                                             "京子",   "春香", "千夏",   "真由", "陽子", "明美"};
inline constexpr std::string_view boys[] = {"けん", "たろう", "ひろし", "そら", "だいき", "ゆうた",
                                            "しん", "まこと", "りく",   "健太", "一郎",   "直人",
                                            "翔太", "和也",   "大輔",   "正人", "拓也",   "次郎"};
inline constexpr std::string_view elders[] = {"お母さん", "おばあさん", "おばさん", "お姉さん",
                                              "お父さん", "おじいさん", "おじさん", "お兄さん"};
inline constexpr Noun foods[] = {{"りんご", "個"},   {"みかん", "個"},     {"卵", "個"},       {"おにぎり", "個"},
                                 {"いちご", "個"},   {"まんじゅう", "個"}, {"バナナ", "本"},   {"にんじん", "本"},
                                 {"きゅうり", "本"}, {"せんべい", "枚"},   {"クッキー", "枚"}, {"もも", "個"}};
inline constexpr Noun small_things[] = {{"えんぴつ", "本"}, {"花", "本"},     {"リボン", "本"},   {"ろうそく", "本"},
                                        {"切手", "枚"},     {"はがき", "枚"}, {"シール", "枚"},   {"葉っぱ", "枚"},
                                        {"絵本", "冊"},     {"ノート", "冊"}, {"辞書", "冊"},     {"雑誌", "冊"},
                                        {"石", "個"},       {"貝がら", "個"}, {"どんぐり", "個"}, {"ボタン", "個"}};
inline constexpr std::string_view things[] = {"ボール", "本",   "たこ",   "ぼうし", "かさ", "太鼓", "人形",
                                              "船",     "かご", "ランプ", "かばん", "時計", "手袋", "ふえ"};
inline constexpr std::string_view looks[] = {"赤い",   "青い",   "黄色い", "白い",     "黒い",     "古い",
                                             "新しい", "小さい", "大きい", "きれいな", "すてきな", "茶色い"};
inline constexpr std::string_view colours[] = {"赤", "青", "緑", "黄", "白", "むらさき", "もも"};
inline constexpr std::string_view places[] = {"公園", "海",     "森", "市場", "学校", "湖",
                                              "牧場", "図書館", "川", "駅前", "神社", "山"};
inline constexpr std::string_view spots[] = {"ベッドの下", "ドアの後ろ", "台所",     "古い木の下",
                                             "いすの後ろ", "戸だなの中", "屋根の上", "階段の横",
                                             "物置の中",   "机の下",     "門の近く", "窓の外"};
inline constexpr std::string_view boxes[] = {"箱", "かご", "引き出し", "びん", "ふくろ", "バケツ"};
inline constexpr std::string_view jobs[] = {"医者",   "画家", "先生",       "パン屋", "俳優", "パイロット",
                                            "発明家", "歌手", "宇宙飛行士", "大工",   "漁師", "看護師"};
inline constexpr std::string_view days[] = {"月曜日", "火曜日", "水曜日", "木曜日", "金曜日", "土曜日", "日曜日"};
inline constexpr std::string_view pets[] = {"犬", "ねこ", "子犬", "子ねこ", "うさぎ", "あひる", "りす"};
inline constexpr std::string_view pet_names[] = {"ポチ", "タマ", "シロ", "クロ", "モモ", "ハナ", "ココ", "チビ"};
inline constexpr Habits wild[] = {{"ねずみ", "家の下", "種", "しっぽ"},   {"きつね", "森の中", "木の実", "しっぽ"},
                                  {"かえる", "池のそば", "虫", "舌"},     {"馬", "牧場", "草", "たてがみ"},
                                  {"つる", "川のそば", "魚", "首"},       {"牛", "山の牧場", "草", "舌"},
                                  {"さる", "山の中", "くだもの", "手"},   {"うさぎ", "野原", "草", "耳"},
                                  {"くま", "山の奥", "はちみつ", "つめ"}, {"りす", "木の穴", "どんぐり", "しっぽ"}};

/// Japanese is written without white space.
inline std::string tidy(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c != ' ' && c != '\n') out += c;
  }
  return out;
}

/// The people and things of one story. A name is said with さん (girls) or くん (boys).
class Scene : public StoryScene {
 public:
  explicit Scene(StoryDice& dice) {
    const bool female = dice.chance(50);
    add_person("A", dice.pick(female ? girls : boys), female);
    add_person("B", dice.pick(female ? boys : girls), !female);
    add_person("C", dice.pick_other(female ? girls : boys, word("A.名")), female);
  }

  /// New things, places and numbers for the next plot; the people stay.
  void renew(StoryDice& dice, bool first) {
    words["When"] = expand(first ? first_times : later_times, dice, [&](std::string_view) { return dice.pick(days); });
    words["E"] = dice.pick(elders);
    add_thing("T", dice, "", "");
    add_thing("U", dice, word("T.物"), word("T.色"));
    const Noun& food = dice.pick(foods);
    add_noun("F", food);
    words["F2"] = dice.pick_other(foods, food).word;
    add_noun("X", dice.chance(30) ? dice.pick(foods) : dice.pick(small_things));
    words["P"] = dice.pick(pets);
    words["P.名"] = dice.pick(pet_names);
    words["L"] = dice.pick(places);
    words["M"] = dice.pick_other(places, word("L"));
    words["spot"] = dice.pick(spots);
    words["spot2"] = dice.pick_other(spots, word("spot"));
    words["箱"] = dice.pick(boxes);
    words["箱2"] = dice.pick_other(boxes, word("箱"));
    words["仕事"] = dice.pick(jobs);
    words["色"] = dice.pick(colours);
    const std::size_t day = dice.below(7);
    words["曜日"] = days[day];
    words["曜日+1"] = days[(day + 1) % 7];
    words["曜日+2"] = days[(day + 2) % 7];
    const Habits& habits = dice.pick(wild);
    words["G"] = habits.animal, words["G.home"] = habits.home;
    words["G.food"] = habits.food, words["G.body"] = habits.body;
    const int n = dice.between(3, 12);
    numbers = {{'n', n},
               {'m', dice.between(2, 9)},
               {'k', dice.between(1, n - 1)},
               {'g', dice.between(2, 5)},
               {'h', dice.between(2, 6)},
               {'a', dice.between(5, 12)},
               {'d', dice.between(1, 6)}};
  }

  /// {A.彼}; {n+m X}: the number with the counter of X, "7本"; {n 人}: with the counter itself.
  std::string operator()(std::string_view key) const {
    if (!is_number(key)) return word(key);
    const std::size_t space = key.find(' ');
    const std::string value = std::to_string(evaluate(key.substr(0, space)));
    if (space == std::string_view::npos) return value;
    const auto counter = words.find(std::string(key.substr(space + 1)) + ".counter");
    return value + (counter == words.end() ? std::string(key.substr(space + 1)) : counter->second);
  }

 private:
  void add_person(const std::string& key, std::string_view name, bool female) {
    words[key] = std::string(name) + (female ? "さん" : "くん");
    words[key + ".名"] = name;
    words[key + ".彼"] = female ? "彼女" : "彼";
    words[key + ".子"] = female ? "女の子" : "男の子";
    words[key + ".家族"] = female ? "お母さん" : "お父さん";
  }
  void add_noun(const std::string& key, const Noun& noun) {
    words[key] = noun.word;
    words[key + ".counter"] = noun.counter;
  }
  /// Drawn in two statements: the order of a call's arguments is the compiler's, and stories must not depend on it.
  void add_thing(const std::string& key, StoryDice& dice, std::string_view other_noun, std::string_view other_look) {
    const std::string_view noun = dice.pick_other(things, other_noun);
    const std::string_view look = dice.pick_other(looks, other_look);
    words[key] = std::string(look) + std::string(noun);
    words[key + ".物"] = noun;
    words[key + ".色"] = look;
  }
};

/// One story of one or two plots with the same people.
inline std::string story(StoryDice& dice) {
  Scene scene(dice);
  scene.renew(dice, true);
  std::string text = dice.chance(40) ? tidy(expand(opening, dice, scene)) : "";
  const std::size_t first = dice.below(std::size(plots));
  text += tidy(expand(plots[first], dice, scene));
  if (dice.chance(35)) {
    scene.renew(dice, false);
    const std::size_t second = (first + 1 + dice.below(std::size(plots) - 1)) % std::size(plots);
    text += "\n" + tidy(expand(plots[second], dice, scene));
  }
  if (dice.chance(30)) text += tidy(expand(closing, dice, scene));
  return text;
}

}  // namespace moderngpt2::detail::japanese
