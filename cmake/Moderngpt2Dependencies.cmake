# Finds the packages behind each component. The build of this project and the installed package both read this file,
# so that they cannot disagree. Each macro leaves the names of what it did not find in moderngpt2_missing.

include_guard(GLOBAL)
include(CheckCXXSourceCompiles)
include(${CMAKE_CURRENT_LIST_DIR}/Moderngpt2ArrowParquet.cmake)

# An imported target for a library that brings no CMake files of its own.
function(moderngpt2_import target header library)
  if(TARGET ${target})
    return()
  endif()
  string(MAKE_C_IDENTIFIER "MODERNGPT2_${target}" name)
  find_path(${name}_INCLUDE_DIR ${header})
  find_library(${name}_LIBRARY ${library})
  mark_as_advanced(${name}_INCLUDE_DIR ${name}_LIBRARY)
  if(${name}_INCLUDE_DIR AND ${name}_LIBRARY)
    add_library(${target} UNKNOWN IMPORTED GLOBAL)
    set_target_properties(${target} PROPERTIES IMPORTED_LOCATION "${${name}_LIBRARY}"
      INTERFACE_INCLUDE_DIRECTORIES "${${name}_INCLUDE_DIR}")
  endif()
endfunction()

# Sets `result` to whether a program with the source `lines` compiles and links with `target`. A package that is found
# may still not work: built for another processor, headers without a library, partly removed. The result is cached for
# each set of files that the target names.
function(moderngpt2_links target lines result)
  if(NOT TARGET ${target})
    set(${result} FALSE PARENT_SCOPE)
    return()
  endif()
  set(files ${CMAKE_CXX_COMPILER})
  foreach(property IMPORTED_LOCATION INTERFACE_INCLUDE_DIRECTORIES INTERFACE_LINK_LIBRARIES)
    get_target_property(value ${target} ${property})
    list(APPEND files ${value})
  endforeach()
  string(MD5 hash "${target} ${files}")
  string(MAKE_C_IDENTIFIER "moderngpt2_links_${target}_${hash}" variable)
  set(CMAKE_REQUIRED_LIBRARIES ${target})
  set(CMAKE_REQUIRED_QUIET TRUE)
  check_cxx_source_compiles("${lines}" ${variable})
  set(${result} "${${variable}}" PARENT_SCOPE)
endfunction()

macro(moderngpt2_require target package)
  if(NOT TARGET ${target})
    list(APPEND moderngpt2_missing ${package})
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
  moderngpt2_require(Eigen3::Eigen Eigen3)
  moderngpt2_require(fmt::fmt fmt)
  moderngpt2_require(nlohmann_json::nlohmann_json nlohmann_json)
  moderngpt2_require(OpenMP::OpenMP_CXX OpenMP)
  moderngpt2_require(Threads::Threads Threads)
  moderngpt2_require(moderngpt2::xxhash xxHash)
endmacro()

# Not by oneDNN's own CMake files: Debian's end the configuration of a machine that has no OpenCL headers, which
# matrix products on the CPU do not need.
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
  if(TARGET yaml-cpp AND NOT TARGET yaml-cpp::yaml-cpp)  # its name before 0.8
    add_library(yaml-cpp::yaml-cpp INTERFACE IMPORTED GLOBAL)
    set_target_properties(yaml-cpp::yaml-cpp PROPERTIES INTERFACE_LINK_LIBRARIES yaml-cpp)
  endif()
  moderngpt2_import(moderngpt2::zstd zstd.h zstd)
  moderngpt2_require(ZLIB::ZLIB zlib)
  moderngpt2_require(yaml-cpp::yaml-cpp yaml-cpp)
  moderngpt2_require(moderngpt2::zstd zstd)
endmacro()

macro(moderngpt2_find_tokenizer_training)
  set(moderngpt2_missing)
  moderngpt2_import(moderngpt2::sentencepiece sentencepiece_processor.h sentencepiece)
  moderngpt2_import(moderngpt2::sentencepiece_train sentencepiece_trainer.h sentencepiece_train)
  moderngpt2_require(moderngpt2::sentencepiece sentencepiece)
  moderngpt2_require(moderngpt2::sentencepiece_train sentencepiece_train)
endmacro()

# Finds the C interface of any MPI library; it is called from C++. FindMPI of CMake 3.25 creates the target MPI::MPI_CXX
# even if it finds no MPI, so the existence of the target proves nothing.
macro(moderngpt2_find_mpi)
  set(moderngpt2_missing)
  set(MPI_CXX_SKIP_MPICXX TRUE)
  find_package(MPI QUIET COMPONENTS CXX)
  set(moderngpt2_mpi_works FALSE)
  if(MPI_CXX_FOUND)
    moderngpt2_links(MPI::MPI_CXX "
      #include <mpi.h>
      int main(int argc, char** argv) { return MPI_Init(&argc, &argv); }" moderngpt2_mpi_works)
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
