#pragma once

// Messages about how a source file is compiled, before errors and losses of speed that are harder to understand.
// Headers that need an optional component have such a message too (tests/headers/check_needs.py checks them).

#if !__has_include(<fmt/format.h>)
#error "moderngpt2: <fmt/format.h> not found: link moderngpt2::moderngpt2, or use the flags of its pkg-config file"
#endif

// A note and not a #warning: -Werror would make an error of a #warning, and g++ hides it where this folder is a system
// include, as with find_package. clang hides both there.
#if defined(__GNUC__) && !defined(__OPTIMIZE__) && !defined(__CUDACC__) && !defined(MODERNGPT2_ALLOW_O0)
#pragma message(                                                                                                   \
    "moderngpt2: this file is compiled without optimization (-O0), so that models are up to 40 times slower: use " \
    "-O2, or -DMODERNGPT2_ALLOW_O0 to hide this note")
#endif
