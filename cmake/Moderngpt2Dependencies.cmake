# Finds the packages of each component. The build of this project and the installed package both read this file, so that
# they agree. Each macro sets moderngpt2_missing to the names of packages that it did not find.

include_guard(GLOBAL)
include(CheckCXXSourceCompiles)
include(${CMAKE_CURRENT_LIST_DIR}/Moderngpt2ArrowParquet.cmake)

# Normalizes the option `name` to AUTO, ON or OFF.
macro(moderngpt2_read_option name)
  string(TOUPPER "${${name}}" moderngpt2_value)
  if(moderngpt2_value MATCHES "^(AUTO)?$")
    set(${name} AUTO)
  elseif(moderngpt2_value MATCHES "^(ON|YES|TRUE|Y|1)$")
    set(${name} ON)
  elseif(moderngpt2_value MATCHES "^(OFF|NO|FALSE|N|0)$")
    set(${name} OFF)
  else()
    message(FATAL_ERROR "${name}: unknown value '${${name}}', expected AUTO, ON or OFF. Set -D${name}=AUTO.")
  endif()
endmacro()

# Sets `result` to the folder that install_dependencies.sh unpacks into.
function(moderngpt2_cache_folder result)
  set(folder "$ENV{XDG_CACHE_HOME}")
  if(NOT IS_ABSOLUTE "${folder}")  # by its specification, a relative one is ignored
    set(home "$ENV{HOME}")
    if(NOT home)
      execute_process(COMMAND sh -c "getent passwd $(id -u) | cut -d: -f6" OUTPUT_VARIABLE home
        OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    endif()
    set(folder "${home}/.cache")
  endif()
  set(${result} "${folder}/moderngpt2" PARENT_SCOPE)
endfunction()

# Imported target for a library without CMake files.
function(moderngpt2_import target header library)
  if(TARGET ${target})
    return()
  endif()
  string(MAKE_C_IDENTIFIER "MODERNGPT2_${target}" name)
  foreach(variable ${name}_INCLUDE_DIR ${name}_LIBRARY)
    if(${variable} AND NOT EXISTS "${${variable}}")  # found once and removed since
      unset(${variable} CACHE)
    endif()
  endforeach()
  find_path(${name}_INCLUDE_DIR ${header})
  find_library(${name}_LIBRARY ${library})
  mark_as_advanced(${name}_INCLUDE_DIR ${name}_LIBRARY)
  if(${name}_INCLUDE_DIR AND ${name}_LIBRARY)
    add_library(${target} UNKNOWN IMPORTED GLOBAL)
    set_target_properties(${target} PROPERTIES IMPORTED_LOCATION "${${name}_LIBRARY}"
      INTERFACE_INCLUDE_DIRECTORIES "${${name}_INCLUDE_DIR}")
  endif()
endfunction()

# Sets `result` to whether a program with the source `lines` compiles and links with `target`, and RESULT_reason to an
# explanation if the target exists and such a program does not link. A package that is found may still not work: built
# for another processor, headers without a library, partly removed. Success is cached for these files with their sizes
# and times; failure is not cached, so that a repaired package is noticed.
function(moderngpt2_links target lines result)
  set(${result} FALSE PARENT_SCOPE)
  set(${result}_reason "" PARENT_SCOPE)
  if(NOT TARGET ${target})
    return()
  endif()
  get_target_property(imported ${target} IMPORTED)
  if(NOT imported)  # built by the same project: nothing to link with yet
    set(${result} TRUE PARENT_SCOPE)
    return()
  endif()
  set(parts ${CMAKE_CXX_COMPILER} ${CMAKE_CXX_FLAGS})
  foreach(property IMPORTED_LOCATION INTERFACE_INCLUDE_DIRECTORIES INTERFACE_LINK_LIBRARIES)
    get_target_property(value ${target} ${property})
    list(APPEND parts ${value})
  endforeach()
  set(libraries)
  foreach(part IN LISTS parts)
    if(TARGET ${part})
      get_target_property(part ${part} IMPORTED_LOCATION)
    endif()
    if(IS_ABSOLUTE "${part}" AND EXISTS "${part}" AND NOT IS_DIRECTORY "${part}")
      file(SIZE "${part}" size)
      file(TIMESTAMP "${part}" time)
      list(APPEND parts ${size} ${time})
      if(NOT part STREQUAL CMAKE_CXX_COMPILER)
        list(APPEND libraries ${part})
      endif()
    elseif(IS_ABSOLUTE "${part}" AND NOT EXISTS "${part}")  # would end the configuration inside try_compile
      set(${result}_reason "${part}, which belongs to it, does not exist" PARENT_SCOPE)
      return()
    endif()
  endforeach()
  string(MD5 hash "${target} ${parts}")
  string(MAKE_C_IDENTIFIER "moderngpt2_links_${target}_${hash}" variable)
  set(CMAKE_CXX_STANDARD 20)
  set(CMAKE_REQUIRED_FLAGS -w)  # with the user's -Werror, a warning would look like a missing library
  set(CMAKE_REQUIRED_LIBRARIES ${target})
  set(CMAKE_REQUIRED_QUIET TRUE)
  check_cxx_source_compiles("${lines}" ${variable})
  if(${variable})
    set(${result} TRUE PARENT_SCOPE)
    return()
  endif()
  unset(${variable} CACHE)
  list(JOIN libraries ", " libraries)
  string(REGEX REPLACE "^(.+)$" " in \\1" libraries "${libraries}")
  set(${result}_reason "It was found${libraries}, but a program does not link with it: see the log in \
${CMAKE_BINARY_DIR}/CMakeFiles" PARENT_SCOPE)
endfunction()

# Adds `package` to moderngpt2_missing if `target` does not exist or a program with the given lines does not link with
# it.
macro(moderngpt2_require target package)
  if(NOT TARGET ${target})
    list(APPEND moderngpt2_missing ${package})
  elseif(NOT "${ARGN}" STREQUAL "")
    moderngpt2_links(${target} "${ARGN}" moderngpt2_links_now)
    if(NOT moderngpt2_links_now)
      string(REGEX REPLACE "^It was " "" moderngpt2_links_now_reason "${moderngpt2_links_now_reason}")
      list(APPEND moderngpt2_missing "${package} (${moderngpt2_links_now_reason})")
    endif()
  endif()
endmacro()

macro(moderngpt2_find_core)
  set(moderngpt2_missing)
  find_package(Eigen3 3.4 QUIET NO_MODULE)
  find_package(fmt QUIET)
  find_package(nlohmann_json QUIET)
  find_package(OpenMP QUIET COMPONENTS CXX)
  find_package(Threads QUIET)
  moderngpt2_import(moderngpt2::xxhash xxhash.h xxhash)
  moderngpt2_import(moderngpt2::pcre2 pcre2.h pcre2-8)
  moderngpt2_import(moderngpt2::utf8proc utf8proc.h utf8proc)
  moderngpt2_require(Eigen3::Eigen Eigen3)
  moderngpt2_require(fmt::fmt fmt)
  moderngpt2_require(nlohmann_json::nlohmann_json nlohmann_json)
  moderngpt2_require(OpenMP::OpenMP_CXX OpenMP)
  moderngpt2_require(Threads::Threads Threads)
  moderngpt2_require(moderngpt2::xxhash xxHash "
    #include <xxhash.h>
    int main() { return XXH_versionNumber() == 0; }")
  moderngpt2_require(moderngpt2::pcre2 PCRE2 "
    #define PCRE2_CODE_UNIT_WIDTH 8
    #include <pcre2.h>
    int main() { return pcre2_config(PCRE2_CONFIG_UNICODE, nullptr) < 0; }")
  moderngpt2_require(moderngpt2::utf8proc utf8proc "
    #include <utf8proc.h>
    int main() { return utf8proc_version() == nullptr; }")
endmacro()

# Does not use oneDNN's own CMake files: Debian's fail on machines without OpenCL headers, which matrix products on the
# CPU do not need.
macro(moderngpt2_find_onednn)
  moderngpt2_import(moderngpt2::onednn dnnl.h dnnl)
  moderngpt2_links(moderngpt2::onednn "
    #include <dnnl.h>
    int main() { dnnl_engine_t engine; return dnnl_engine_create(&engine, dnnl_cpu, 0); }" moderngpt2_onednn_works)
endmacro()

macro(moderngpt2_find_data)
  set(moderngpt2_missing)
  find_package(ZLIB QUIET)
  find_package(yaml-cpp QUIET)
  if(TARGET yaml-cpp AND NOT TARGET yaml-cpp::yaml-cpp)  # name before yaml-cpp 0.8
    add_library(yaml-cpp::yaml-cpp INTERFACE IMPORTED GLOBAL)
    set_target_properties(yaml-cpp::yaml-cpp PROPERTIES INTERFACE_LINK_LIBRARIES yaml-cpp)
  endif()
  moderngpt2_import(moderngpt2::zstd zstd.h zstd)
  moderngpt2_require(ZLIB::ZLIB zlib "
    #include <zlib.h>
    int main() { return zlibVersion() == nullptr; }")
  moderngpt2_require(yaml-cpp::yaml-cpp yaml-cpp)
  moderngpt2_require(moderngpt2::zstd zstd "
    #include <zstd.h>
    int main() { return ZSTD_versionNumber() == 0; }")
endmacro()

macro(moderngpt2_find_tokenizer_training)
  set(moderngpt2_missing)
  moderngpt2_import(moderngpt2::sentencepiece sentencepiece_processor.h sentencepiece)
  moderngpt2_import(moderngpt2::sentencepiece_train sentencepiece_trainer.h sentencepiece_train)
  moderngpt2_require(moderngpt2::sentencepiece sentencepiece "
    #include <sentencepiece_processor.h>
    int main() { sentencepiece::SentencePieceProcessor processor; }")
  moderngpt2_require(moderngpt2::sentencepiece_train sentencepiece_train)
endmacro()

# FindMPI fails with an error if the compiler wrapper names a header folder that does not exist. Sets `result` to an
# explanation in that case, else to "". Deletes cached results of FindMPI for a removed MPI.
function(moderngpt2_mpi_gone result)
  get_cmake_property(variables CACHE_VARIABLES)
  list(FILTER variables INCLUDE REGEX "^MPI_(CXX_.*|.*_LIBRARY)$")
  set(gone)
  foreach(variable IN LISTS variables)
    foreach(path IN LISTS ${variable})
      if(IS_ABSOLUTE "${path}" AND NOT EXISTS "${path}")
        set(gone "${path}")
      endif()
    endforeach()
  endforeach()
  if(gone)
    foreach(variable IN LISTS variables)
      if(NOT variable STREQUAL "MPI_CXX_COMPILER" OR NOT EXISTS "${MPI_CXX_COMPILER}")
        unset(${variable} CACHE)
      endif()
    endforeach()
  endif()
  set(wrapper "${MPI_CXX_COMPILER}")
  if(NOT wrapper)  # the one that FindMPI prefers
    unset(wrapper)
    find_program(launcher NAMES mpiexec mpirun NO_CACHE)
    cmake_path(GET launcher PARENT_PATH folder)
    find_program(wrapper NAMES mpicxx HINTS "${folder}" NO_CACHE)
  endif()
  set(${result} "" PARENT_SCOPE)
  if(wrapper)
    execute_process(COMMAND ${wrapper} -show OUTPUT_VARIABLE line ERROR_QUIET)
    string(REGEX MATCHALL "(^| )-I */[^ \n]+" folders "${line}")
    foreach(folder IN LISTS folders)
      string(REGEX REPLACE "^ ?-I *" "" folder "${folder}")
      if(NOT EXISTS "${folder}")
        set(${result} "${wrapper} names the folder ${folder}, which does not exist" PARENT_SCOPE)
      endif()
    endforeach()
  endif()
endfunction()

# Finds the C interface of any MPI library, which is called from C++. FindMPI of CMake 3.25 creates the target
# MPI::MPI_CXX even without an MPI, so checking the target is not sufficient.
macro(moderngpt2_find_mpi)
  set(moderngpt2_missing)
  set(MPI_CXX_SKIP_MPICXX TRUE)
  set(moderngpt2_mpi_works FALSE)
  moderngpt2_mpi_gone(moderngpt2_mpi_works_reason)
  if(NOT moderngpt2_mpi_works_reason)
    find_package(MPI QUIET COMPONENTS CXX)
  endif()
  if(moderngpt2_mpi_works_reason)
    set(MPI_CXX_FOUND FALSE)
  elseif(MPI_CXX_FOUND)
    moderngpt2_links(MPI::MPI_CXX "
      #include <mpi.h>
      int main(int argc, char** argv) { return MPI_Init(&argc, &argv); }" moderngpt2_mpi_works)
  endif()
  if(NOT MPI_CXX_FOUND AND MPI_CXX_COMPILER AND NOT moderngpt2_mpi_works_reason)
    set(moderngpt2_mpi_works_reason "${MPI_CXX_COMPILER} was found, but a program does not link with its MPI")
  endif()
  if(NOT moderngpt2_mpi_works)
    list(APPEND moderngpt2_missing MPI)
  endif()
endmacro()

macro(moderngpt2_find_cli)
  set(moderngpt2_missing)
  find_package(CLI11 QUIET)
  moderngpt2_require(CLI11::CLI11 CLI11)
endmacro()
