#pragma once

#include <string_view>

/// The plots of the English stories. [a|b] chooses, {key} is filled in (stories_english.hpp says with what): A, B and C
/// are people, E an older relative of A, T and U things, F food, X things to count, G wild animals, P a pet, L and M
/// places. Digits stand in sums only, and each sum says its answer in a form that check_sums() knows.
namespace moderngpt2::detail::english {

inline constexpr std::string_view first_times =
    "[one morning|one day|one evening|one cold morning|one sunny day|on {}|last {}|early on {}|after school on {}]";
inline constexpr std::string_view later_times =
    "[the next day|a week later|the next morning|a few days later|that same evening|the following {}|on {}]";

inline constexpr std::string_view opening =
    R"([{A} was a [little|kind|clever|cheerful|quiet] {A.boy}. [{A.he} lived [near|not far from] the {L} with
{A.his} {E}.| {A.his} best friends were {B} and {C}.|]|{A} and {B} were [good friends|neighbours|in the same class].
[they often played together {L.in}.|]|there [once|] was a {A.boy} called {A}. {A.his} [best friend|neighbour] was a
{B.boy} called {B}.])";

inline constexpr std::string_view closing =
    R"([{A} never forgot that day.|{A} told {A.his} [mother|father|teacher] all about it.|{A} and {B}
[talked|laughed] about it for a long time.|that night {A} [slept well|went to bed happy].|it had been a good day for
{A} and {B}.])";

inline constexpr std::string_view plots[] = {
    // Sums.
    R"({When}, {A} had {n X}. [{A.he} kept them in a {box}.|{A.he} showed them to {B}.|] [{B} gave {A.him} {m}
more.|then {A.he} found {m} more {spot}.|{A.his} {E} brought {A.him} {m} more.] now {A} had {n+m X}. [{A.he} was
very happy.|"look how many I have!" said {A}.|{A.he} put all of them back in the {box}.|])",
    R"({When}, {A} [had|bought|picked] {n F}. [{A.he} was hungry|they smelled good|{A.he} could not wait], so {A.he}
ate {k} of them. [{B} came too late to see it.|] now {A} had {n-k F} left. [{A.he} kept the rest for {A.his}
{E}.|{A.he} put the rest in a {box}.|"the rest is for {B}," {A.he} said.])",
    R"({When}, there were {n X} in the {box}. {A} put in {m} more. then {B} came and took {k} of them. [nobody saw
{B.him}.| "I need them for school," said {B}.|] {A} counted [again|them twice]. now there were {n+m-k X} in the
{box}. [{A} and {B} closed the {box}.|])",
    R"({When}, {A} and {B} had {g} boxes. they put {h X} in each box. [it took them all [morning|afternoon].|{A.his}
{E} helped them.|] "how many are there?" asked {A.his} {E}. {B} counted them all. "there are {g*h} in all," {B.he}
said. [{A.his} {E} was [proud of|pleased with] them.|])",
    R"({When}, {A} baked {g*h} cookies with {A.his} {E}. {A.he} wanted to be fair. {A.he} shared them among {g}
friends. each friend got {h cookie}. [{B} ate all of them at once, but {C} saved some for later.|"thank you, {A}!"
said {B} and {C}.|])",
    R"({A} is {a year} old. {A.his} [{A.brother}|friend|cousin] {C} is {d year} older. so {C} is now {a+d year} old.
[{A} and {C} like to play {L.in}.|{C} helps {A} with {A.his} homework.|{C} is taller than {A}, but {A} is faster
than {C}.])",
    R"({When}, {A} went to the shop with {n+k coin}. {A.he} wanted to buy {T.a}. the {T.noun} cost {k coin}. {A.he}
paid and [thanked the man|said goodbye]. now {A.he} had {n coin} left. [{A} carried the {T.noun} home.|{B} liked the
{T} very much.])",
    R"({When}, the teacher asked [the class|{A}] a question. "what is {n} plus {m}?" [{B} did not know.|{A} thought
for a moment.] "{n} plus {m} makes {n+m}," said {A}. "and what is {n} minus {k}?" "{n} minus {k} makes {n-k}," said
{B}. "[very good|well done|you are both right]!" said the teacher.)",
    R"({When}, {A} saw {n} birds {spot}. {m} more came and sat down beside them. [{A} stood very still.|{A} called
{B}.] now there were {n+m bird}. then {B} [sneezed|opened the door] and {k} of them flew away. now there were
{n+m-k bird}.)",

    // Things that are lost, lent, moved and changed.
    R"({When}, {A} could not find {A.his} {T}. {A.he} looked {spot2}, but it was not there. [{A.he} was sad.|{A.he}
almost cried.] "{B}, have you seen my {T.noun}?" asked {A}. [{B} helped {A.him} to look.|"no, but I will help you,"
said {B}.] in the end {B} found the {T.noun} {spot}. "here is your {T}!" said {B}. {A} [hugged|thanked] {B.him}.)",
    R"({When}, {A} lent {A.his} {T} to {B}. "please bring it back on {day}," said {A}. {B} took the {T.noun} to the
{L}. [{B.he} was very careful with it.|{B.he} had a lot of fun with it.] on {day}, {B} came back with the {T.noun}.
"thank you, {A}," said {B}. {A} was glad to have {A.his} {T} again.)",
    R"({When}, {A} went to the {L} with {A.his} {T}. [{A.he} played there until dark.|{B} was there too.] when
{A.he} came home, {A.he} did not have the {T.noun} any more. "I left it {L.in}!" {A.he} cried. {A.his} {E} went back
to the {L} with {A.him}. the {T} was still there. {A} took the {T.noun} home and never left it {L.in} again.)",
    R"({When}, {A} put {A.his} {T} in the {box} and went out to play. while {A} was {L.in}, {B} moved the {T.noun}
from the {box} to the {box2}. then {A} came back. {A.he} looked in the {box} first, because {A.he} had left the
{T.noun} there. the {box} was empty! {B} [laughed|smiled] and showed {A.him} the {box2}. there was the {T}.)",
    R"({When}, {A} had {T.a} and {B} had {U.a}. {A} liked the {U} better, and {B} liked the {T} better. "shall we
swap?" asked [{A}|{B}]. so {A} gave {B} the {T.noun}, and {B} gave {A} the {U.noun}. now {A} had the {U} and {B} had
the {T}. [both of them were happy.|])",
    R"({When}, {A} and {B} both wanted the {T}. "it is mine!" said {A}. "no, it is mine!" said {B}. they
[pulled|fought] until the {T.noun} broke. {A} and {B} were sorry. {A.his} {E} mended the {T.noun}. after that, {A}
had it in the morning and {B} had it in the afternoon.)",
    R"({When}, {A} tried on {T.look.a} coat. it was too [big|long] for {A.him}. "it does not fit me," said {A}. {B}
was taller than {A}, so {B} tried it on too. it fitted {B.him} very well. [{A} gave the coat to {B}.|"you can have
it," said {A} to {B}.] {B} wore the {T.look} coat all winter.)",
    R"(it was {B}'s birthday. {A} wanted to give {B.him} a present, but {A.he} had no money. so {A.he} made
{T.noun.a} {A.himself} and painted it {paint}. {B} opened the present. "{paint.a} {T.noun}!" {B.he} said. "did you
make it yourself?" "yes," said {A}. {B} liked the {paint} {T.noun} best of all {B.his} presents.)",
    R"({When}, {A} found {T.a} {L.in}. there was a name in it: {C}. [{A} did not know {C}.|"who is {C}?" {A} asked
{B}.] {A.he} asked at every house near the {L}. at the last house a {C.boy} opened the door. "I am {C}, and that is
my {T.noun}!" {C.he} said. {A} gave the {T} back to {C}. since then, {A} and {C} have been friends.)",

    // People, places and order.
    R"({When}, {A}, {B} and {C} ran a race [in the park|on the hill|at the beach|around the lake]. {A} was faster
than {B}, and {B} was faster than {C}. so {A} was the fastest, and {C} was the slowest. [{A} won {T.a}.|"next time I
will win," said {C}.] {B} came second[ and was happy with it|].)",
    R"({When}, {A}, {B} and {C} played hide and seek. {A} hid {spot} and {B} hid {spot2}. {C} counted to twenty and
began to look. {C.he} looked {spot} and found {A}. [then|at last] {C.he} looked {spot2} and found {B}. [next, it was
{A}'s turn to count.|"you are good at this, {C}," said {B}.])",
    R"(on {day}, {A} got a letter from {B}. "I will come to see you tomorrow," wrote {B}. so on {day+1} {A} waited
at the station. [the train was late.|it was raining.] {B} got off the train with {T.a} in {B.his} hand. they went to
the {L} together. on {day+2}, {B} had to go home again. {A} was a little sad.)",
    R"({When}, {A} wanted to go to the {L}, but {B} wanted to go to the {M}. ["we can do both," said {A.his}
{E}.|they could not agree.] so they went to the {L} [first|in the morning] and to the {M} [after that|in the
afternoon]. {A} liked the {L} best, and {B} liked the {M} best.)",
    R"({When}, {A} went for a walk from the {L} to the {M}. it began to [rain|snow], and {A.he} had no umbrella. {B}
was there with a big umbrella. "come under my umbrella," said {B}. they walked to the {M} together. [{A} stayed dry,
and {B} did too.|when they got to the {M}, the sun was shining.])",
    R"({A} wanted to be {job.a}. [everybody laughed at {A.him}, but {B} did not.|"that is hard work," said {A.his}
{E}.] {A.he} read many books and worked hard every day. many years later, {B} met {A} {L.in}. "what do you do now?"
asked {B}. "I am {job.a}," said {A}. {B} was not surprised. "I always knew that you would be a good {job}," {B.he}
said.)",
    R"({When}, {A} promised {A.his} {E} to [water the flowers|feed the {P}|wash the dishes]. but {B} came and they
went to the {L}, and {A} forgot {A.his} promise. in the evening {A.he} remembered it. {A.he} ran home. {A.his} {E}
was not angry. "you can still do it," said {A.his} {E}. [{A} did it at once.|{B} helped {A.him}, and they were soon
done.])",
    R"({When}, {A} and {A.his} {E} made soup. {A} cut the {F.s} and {A.his} {E} boiled the water. [{A} put in too
much salt.|{A} forgot the salt.] {B} tasted the soup. "there is [something wrong with|something strange in] this
soup," said {B}. they [laughed|looked at each other] and ate bread and {F.other} instead.)",
    R"({When}, {A} planted a seed [in the garden|behind the house|near the gate]. {A.he} gave it water every day.
[{B} said that nothing would grow.|at first nothing happened.] after [two|three|four] weeks a small green leaf came
out of the ground. in summer there was a {flower} flower. {A} gave the {flower} flower to {B}. "it grew from my
seed," said {A}.)",
    R"({When}, {A} and {B} built a boat [at the lake|at the river|at the beach]. {A} made the sail, and {B} made the
rest. "what shall we call it?" asked {A}. "let us call it {C}," said {B}, because {C} was their best friend. they
put the boat in the water, and it did not sink. in the evening {C} came and saw {C.his} name on the boat. {C.he}
[laughed|was very proud].)",

    // Animals.
    R"({A} has a {P}. {A.his} {P} is called {petname}. [every morning|every day], {A} goes to the {L} with
{petname}. {petname} likes {A}, but {petname} does not like {B}, because {B} is too loud. [when {B} comes, {petname}
hides {spot}.|{B} wants {petname} to like {B.him}, so {B.he} brings some food.])",
    R"({When}, {A}'s {P} ran away. {A} and {B} looked for it {L.in}, but it was not there. then they looked {M.in}.
there they heard a noise. the {P} was sitting {spot}. "come here, little {P}!" said {A}. [{B} picked it up and gave
it to {A}.|{A} picked it up and carried it home.] {A} never left the door open again.)",
    R"({G.a} {G!live} {G.home}. {G.it} {G!have} {G.a body} and {G!eat} {G.food}. in the [morning|evening], {G.it}
{G!wash} {G.its} feet and {G!look} for {G.food}. [when {A} comes, {G.it} {G!run} away.|when {G.it} {G!is} afraid,
{G.it} {G!sound}.] [{A} likes to watch {G.them}.|{A} and {B} like {G.them} very much.])",
    R"({When}, {A} heard a strange noise in the dark. {A.he} was afraid. "is it a ghost?" {A.he} whispered. {A.he}
took {A.his} lamp and looked {spot}. it was not a ghost. it was only a {P}! [the {P} was afraid too.|it was looking
for food.] {A} gave it some milk, and the {P} fell asleep next to {A.him}.)",
    R"({When}, {A} and {B} saw {wilds} {L.in}. "[be quiet|do not move]," whispered {A}. "{G.many} are shy." the
{G.many} did not see them. they were [eating|looking for] {G.food}. then {B} stepped on a branch, and the {G.many}
ran away. "I am sorry," said {B}. [{A} was not angry.|"they will come back," said {A}.])",
    R"({When}, a {P} was stuck {spot}. it could not get out. {A} was too small to help it, so {A.he} called {B}. {B}
was not strong enough either. then {A} and {B} pulled together, and the {P} was free. it [jumped up and down|ran
twice around {B}]. "together we are strong," said {A}.)",
};

}  // namespace moderngpt2::detail::english
