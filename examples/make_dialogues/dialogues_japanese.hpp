#pragma once

#include <string_view>

#include "make_dialogues/dialogue_words.hpp"

namespace moderngpt2::detail::japanese_dialogue {

inline constexpr std::string_view names[] = {"ゆき", "はな", "さくら", "あい",   "まり", "ゆい", "みさき", "なお",
                                             "りん", "けん", "たろう", "ひろし", "そら", "しん", "まこと", "りく",
                                             "健太", "一郎", "直人",   "花子",   "恵子", "美香", "京子",   "春香"};
inline constexpr std::string_view helpers[] = {"ロビン", "アダ",     "マックス", "エコー",
                                               "ノバ",   "ピクセル", "ひかり",   "つばさ"};
inline constexpr std::string_view pets[] = {"犬", "ねこ", "うさぎ", "鳥", "かめ", "りす", "馬", "あひる"};
inline constexpr std::string_view pet_names[] = {"ポチ", "タマ", "シロ", "クロ", "モモ",   "ハナ",
                                                 "ココ", "チビ", "レオ", "ソラ", "マロン", "ルナ"};
inline constexpr WordPair things[] = {{"りんご", "個"}, {"本", "冊"},    {"切手", "枚"}, {"えんぴつ", "本"},
                                      {"みかん", "個"}, {"石", "個"},    {"花", "本"},   {"クッキー", "枚"},
                                      {"ボール", "個"}, {"貝がら", "個"}};
inline constexpr WordPair countries[] = {{"フランス", "パリ"},         {"日本", "東京"},
                                         {"イタリア", "ローマ"},       {"スペイン", "マドリード"},
                                         {"ドイツ", "ベルリン"},       {"イギリス", "ロンドン"},
                                         {"エジプト", "カイロ"},       {"ギリシャ", "アテネ"},
                                         {"ノルウェー", "オスロ"},     {"ポーランド", "ワルシャワ"},
                                         {"ロシア", "モスクワ"},       {"中国", "北京"},
                                         {"韓国", "ソウル"},           {"ペルー", "リマ"},
                                         {"キューバ", "ハバナ"},       {"ケニア", "ナイロビ"},
                                         {"ポルトガル", "リスボン"},   {"オーストリア", "ウィーン"},
                                         {"アイルランド", "ダブリン"}, {"スウェーデン", "ストックホルム"}};
inline constexpr WordPair opposites[] = {
    {"暑い", "寒い"},   {"大きい", "小さい"}, {"速い", "遅い"}, {"新しい", "古い"},     {"高い", "低い"},
    {"明るい", "暗い"}, {"重い", "軽い"},     {"早い", "遅い"}, {"うれしい", "悲しい"}, {"強い", "弱い"},
    {"長い", "短い"},   {"近い", "遠い"},     {"上", "下"},     {"右", "左"},           {"昼", "夜"},
    {"多い", "少ない"}, {"広い", "狭い"},     {"厚い", "薄い"}, {"始まり", "終わり"},   {"入口", "出口"}};
inline constexpr WordPair colours[] = {{"空", "青"},
                                       {"草", "緑"},
                                       {"雪", "白"},
                                       {"炭", "黒"},
                                       {"バナナ", "黄色"},
                                       {"血", "赤"},
                                       {"牛乳", "白"},
                                       {"レモン", "黄色"},
                                       {"かえる", "緑"},
                                       {"トマト", "赤"},
                                       {"海", "青"},
                                       {"にんじん", "オレンジ色"},
                                       {"チョコレート", "茶色"},
                                       {"さくら", "ピンク"}};

inline constexpr std::string_view colour_values[] = {"赤", "青", "緑", "黄色", "黒", "白", "むらさき", "ピンク"};
inline constexpr std::string_view food_values[] = {"パン",   "ごはん", "カレー", "すし",
                                                   "うどん", "ピザ",   "ケーキ", "サラダ"};
inline constexpr std::string_view animal_values[] = {"ライオン", "とら",     "くじら", "きつね",
                                                     "くま",     "ふくろう", "パンダ", "しか"};
inline constexpr std::string_view sport_values[] = {"テニス", "サッカー", "水泳", "野球", "柔道", "剣道"};
inline constexpr std::string_view season_values[] = {"春", "夏", "秋", "冬"};
inline constexpr std::string_view drink_values[] = {"お茶", "コーヒー", "牛乳", "水", "ジュース", "紅茶"};
inline constexpr std::string_view city_values[] = {"東京", "京都", "大阪", "札幌", "福岡", "奈良", "神戸", "仙台"};
inline constexpr Favourites favourites[] = {
    {"色", colour_values},   {"食べ物", food_values},  {"動物", animal_values}, {"スポーツ", sport_values},
    {"季節", season_values}, {"飲み物", drink_values}, {"町", city_values}};

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
    .system = "[あなたは{helper}という助手です。|あなたの名前は{helper}です。]",
    .introduce = {"[私の名前は{name}です。|私は{name}です。|こんにちは、{name}です。|{name}といいます。]",
                  "はじめまして、{name}さん。"},
    .ask_name = {"[私の名前は何ですか。|私の名前を覚えていますか。|私はだれですか。]", "あなたの名前は{name}です。"},
    .no_name = {"[私の名前は何ですか。|私の名前を覚えていますか。|私はだれですか。]",
                "あなたの名前はまだ聞いていません。"},
    .tell_favourite = {"[好きな{category}は{value}です。|一番好きな{category}は{value}です。]",
                       "あなたの好きな{category}は{value}ですね。"},
    .ask_favourite = {"[私の好きな{category}は何ですか。|私の好きな{category}を覚えていますか。]",
                      "あなたの好きな{category}は{value}です。"},
    .no_favourite = {"[私の好きな{category}は何ですか。|私の好きな{category}を覚えていますか。]",
                     "あなたの好きな{category}はまだ聞いていません。"},
    .tell_pet = {"[私の{pet}の名前は{petname}です。|{petname}という{pet}を飼っています。]",
                 "その{pet}の{petname}に会いたいです。"},
    .ask_pet = {"[私の{pet}の名前は何ですか。|私の{pet}は何という名前ですか。]",
                "あなたの{pet}の名前は{petname}です。"},
    .no_pet = {"[私の{pet}の名前は何ですか。|私の{pet}は何という名前ですか。]",
               "あなたの{pet}のことはまだ聞いていません。"},
    .have = {"[私は{things}を{n}{counter}持っています。|かばんに{things}が{n}{counter}あります。]",
             "あなたは{things}を{n}{counter}持っていますね。"},
    .more = {"[友だちがもう{m}{counter}くれました。|もう{m}{counter}買いました。]",
             "それで{things}は{t}{counter}になりました。"},
    .fewer = {"[そのうち{m}{counter}をあげました。|そのうち{m}{counter}をなくしました。]",
              "それで{things}は{t}{counter}になりました。"},
    .how_many = {"[{things}は今いくつありますか。|{things}はいくつですか。]", "あなたの{things}は{n}{counter}です。"},
    .sum = {"[{a}足す{b}はいくつですか。|{a}と{b}を足してください。]", "答えは{c}です。"},
    .difference = {"[{a}引く{b}はいくつですか。|{a}から{b}を引いてください。]", "答えは{c}です。"},
    .larger = {"[{a}と{b}はどちらが大きいですか。|{a}と{b}で大きい方はどれですか。]", "大きい方は{c}です。"},
    .capital = {"[{first}の首都はどこですか。|{first}の首都を教えてください。]", "{first}の首都は{second}です。"},
    .country = {"[{second}はどこの国にありますか。|{second}はどの国の首都ですか。]", "その町は{first}にあります。"},
    .opposite = {"[{first}の反対は何ですか。|{first}の反対を教えてください。]", "{first}の反対は{second}です。"},
    .colour = {"[{first}は何色ですか。|{first}の色を教えてください。]", "それは{second}です。"},
    .helper = {"[あなたの名前は何ですか。|あなたはだれですか。]", "私の名前は{helper}です。"},
    .no_helper = {"[あなたの名前は何ですか。|あなたはだれですか。]", "私は小さな言語モデルです。"},
    .thanks = {"[ありがとう。|どうもありがとうございます。]", "どういたしまして。"},
    .thanks_by_name = {"[ありがとう。|どうもありがとうございます。]", "どういたしまして、{name}さん。"},
};

}  // namespace moderngpt2::detail::japanese_dialogue
