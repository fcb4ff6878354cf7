// Two translation units that include every header must link: header definitions are inline or templates.
#include "all_headers.hpp"

int answer_of_the_other_unit();

int main() { return answer_of_the_other_unit() == 42 ? 0 : 1; }
