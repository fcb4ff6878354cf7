# Flags of this project's own programs, tests and benchmarks. Not applied to projects that use the library.

include(CheckCXXCompilerFlag)
if(MODERNGPT2_ARCH)
  check_cxx_compiler_flag(-march=${MODERNGPT2_ARCH} MODERNGPT2_KNOWS_ARCH_${MODERNGPT2_ARCH})
  if(NOT MODERNGPT2_KNOWS_ARCH_${MODERNGPT2_ARCH})
    message(FATAL_ERROR "MODERNGPT2_ARCH is ${MODERNGPT2_ARCH}, which ${CMAKE_CXX_COMPILER} does not know as -march: "
      "set it to a name from its manual, or to nothing")
  endif()
endif()

if(MODERNGPT2_SANITIZE)
  string(MAKE_C_IDENTIFIER "MODERNGPT2_KNOWS_SANITIZE_${MODERNGPT2_SANITIZE}" variable)
  set(CMAKE_REQUIRED_LINK_OPTIONS -fsanitize=${MODERNGPT2_SANITIZE})
  check_cxx_compiler_flag(-fsanitize=${MODERNGPT2_SANITIZE} ${variable})
  unset(CMAKE_REQUIRED_LINK_OPTIONS)
  if(NOT ${variable})
    message(FATAL_ERROR "MODERNGPT2_SANITIZE is ${MODERNGPT2_SANITIZE}, which ${CMAKE_CXX_COMPILER} does not know as "
      "-fsanitize or has no library for. Set it to names from its manual, such as address,undefined, or to nothing.")
  endif()
endif()

# Objects made with -march=native differ between machines, so a shared ccache has a namespace per processor. Paths are
# relative to the project: another clone shares the cache.
find_program(MODERNGPT2_CCACHE ccache)
mark_as_advanced(MODERNGPT2_CCACHE)
if(MODERNGPT2_CCACHE)
  moderngpt2_report(ccache yes "")
else()
  moderngpt2_report(ccache no "Each new build folder compiles everything again.")
endif()
if(MODERNGPT2_CCACHE AND PROJECT_IS_TOP_LEVEL AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(processor any)
  if(MODERNGPT2_ARCH STREQUAL "native" AND EXISTS /proc/cpuinfo)
    file(STRINGS /proc/cpuinfo processor REGEX "^(model name|flags|Features|CPU part)" LIMIT_COUNT 2)
    string(MD5 processor "${processor}")
  endif()
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_NAMESPACE=moderngpt2-${processor}
    CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${MODERNGPT2_CCACHE})
endif()

# All available components, for programs that link whatever their headers call. The linker drops unused libraries.
set(moderngpt2_everything moderngpt2)
foreach(component data tokenizer_training cli)
  if(TARGET moderngpt2_${component})
    list(APPEND moderngpt2_everything moderngpt2_${component})
  endif()
endforeach()

# Sets `result` to the components that `file` needs according to cmake/needs.txt.
file(STRINGS ${PROJECT_SOURCE_DIR}/cmake/needs.txt moderngpt2_needs REGEX "^[^#]")
set_property(DIRECTORY ${PROJECT_SOURCE_DIR} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS
  ${PROJECT_SOURCE_DIR}/cmake/needs.txt)
function(moderngpt2_needs_of file result)
  cmake_path(RELATIVE_PATH file BASE_DIRECTORY ${PROJECT_SOURCE_DIR} OUTPUT_VARIABLE name)
  set(needs)
  foreach(line IN LISTS moderngpt2_needs)
    string(REGEX MATCH "^(.*): ([a-z_ ]+)$" line "${line}")
    separate_arguments(components UNIX_COMMAND "${CMAKE_MATCH_2}")
    if(name MATCHES "${CMAKE_MATCH_1}")
      list(APPEND needs ${components})
    endif()
  endforeach()
  list(REMOVE_DUPLICATES needs)
  set(${result} ${needs} PARENT_SCOPE)
endfunction()

# Removes from the list `list_name` the files that need a component missing in this build, and reports each.
function(moderngpt2_keep_buildable list_name)
  set(kept)
  foreach(file IN LISTS ${list_name})
    moderngpt2_needs_of(${file} needs)
    set(lacking)
    foreach(need IN LISTS needs)
      string(TOUPPER ${need} upper)
      if(NOT TARGET moderngpt2_${need} AND NOT MODERNGPT2_HAVE_${upper})
        list(APPEND lacking ${need})
      endif()
    endforeach()
    if(lacking)
      cmake_path(RELATIVE_PATH file BASE_DIRECTORY ${PROJECT_SOURCE_DIR} OUTPUT_VARIABLE name)
      list(JOIN lacking ", " lacking)
      message(STATUS "moderngpt2: ${name} is left out, it needs ${lacking}")
    else()
      list(APPEND kept ${file})
    endif()
  endforeach()
  set(${list_name} ${kept} PARENT_SCOPE)
endfunction()

# -fno-math-errno allows vectorizing loops over exp, log and sqrt. -ffast-math is not used, because NaN must stay
# visible. g++ 12 has false positives of -Wrestrict in its own std::string::insert (GCC bug 105651).
function(moderngpt2_own_flags target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -fno-math-errno
    $<$<AND:$<CXX_COMPILER_ID:GNU>,$<VERSION_LESS:$<CXX_COMPILER_VERSION>,13>>:-Wno-restrict>
    $<$<BOOL:${MODERNGPT2_WERROR}>:-Werror> $<$<BOOL:${MODERNGPT2_ARCH}>:-march=${MODERNGPT2_ARCH}>)
  target_compile_definitions(${target} PRIVATE $<$<BOOL:${MODERNGPT2_PRESETS}>:MODERNGPT2_PRESETS=1>
    $<$<CONFIG:Debug>:MODERNGPT2_ALLOW_O0=1>)
  set_target_properties(${target} PROPERTIES CXX_STANDARD 20 CXX_EXTENSIONS OFF UNITY_BUILD OFF)
  if(MODERNGPT2_SANITIZE)
    set(sanitizers -fsanitize=${MODERNGPT2_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_compile_options(${target} PRIVATE ${sanitizers})
    target_link_options(${target} PRIVATE ${sanitizers})
  endif()
  target_link_options(${target} PRIVATE -Wl,--as-needed)
endfunction()
if(TARGET moderngpt2_compiled)
  moderngpt2_own_flags(moderngpt2_compiled)
endif()
