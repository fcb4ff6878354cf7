# moderngpt2::compiled: a static library of the code that each source file of a program would otherwise compile itself,
# the CPU operations and all non-template functions (core/separate_compilation.hpp). It is compiled in the project that
# links it, with that project's flags.

include_guard(GLOBAL)
set(moderngpt2_compiled_folder ${CMAKE_CURRENT_LIST_DIR}/compiled)

# Adds the target. Requires the components data and cli.
function(moderngpt2_add_compiled)
  set(sources command_line cpu_bf16 cpu_fp32 files runs)
  list(TRANSFORM sources REPLACE "(.+)" "${moderngpt2_compiled_folder}/\\1.cpp")
  add_library(moderngpt2_compiled STATIC EXCLUDE_FROM_ALL ${sources})
  target_link_libraries(moderngpt2_compiled PUBLIC moderngpt2::data moderngpt2::cli)
  target_compile_definitions(moderngpt2_compiled PUBLIC MODERNGPT2_SEPARATE_COMPILATION)
  add_library(moderngpt2::compiled ALIAS moderngpt2_compiled)
endfunction()
