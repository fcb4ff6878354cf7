#include "all_headers.hpp"

int answer_of_the_other_unit();

int answer_of_the_other_unit() { return 42; }
