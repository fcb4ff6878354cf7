# Finds the C++ libraries of Apache Arrow and Parquet: first as installed packages, then inside an unpacked pyarrow
# wheel, which has headers and libraries but no CMake files and no unversioned library names.

include_guard(GLOBAL)

# Creates moderngpt2::arrow_parquet from the libraries in `folder`, if they exist. MODERNGPT2_ARROW_LIBRARIES and
# MODERNGPT2_ARROW_LICENSES then list the files to install with programs.
macro(moderngpt2_import_pyarrow folder)
  file(GLOB moderngpt2_arrow_library "${folder}/pyarrow/libarrow.so.[0-9]*")
  file(GLOB moderngpt2_parquet_library "${folder}/pyarrow/libparquet.so.[0-9]*")
  list(LENGTH moderngpt2_arrow_library moderngpt2_arrow_count)
  list(LENGTH moderngpt2_parquet_library moderngpt2_parquet_count)
  if(moderngpt2_arrow_count EQUAL 1 AND moderngpt2_parquet_count EQUAL 1)
    add_library(moderngpt2::arrow UNKNOWN IMPORTED GLOBAL)
    set_target_properties(moderngpt2::arrow PROPERTIES IMPORTED_LOCATION ${moderngpt2_arrow_library})
    add_library(moderngpt2::arrow_parquet UNKNOWN IMPORTED GLOBAL)
    set_target_properties(moderngpt2::arrow_parquet PROPERTIES
      IMPORTED_LOCATION ${moderngpt2_parquet_library}
      INTERFACE_INCLUDE_DIRECTORIES "${folder}/pyarrow/include"
      INTERFACE_LINK_LIBRARIES moderngpt2::arrow)
    set(MODERNGPT2_ARROW_LIBRARIES ${moderngpt2_arrow_library} ${moderngpt2_parquet_library})
    file(GLOB MODERNGPT2_ARROW_LICENSES "${folder}/pyarrow-*.dist-info/licenses/*")
  elseif(EXISTS "${folder}" OR "${folder}" STREQUAL "${MODERNGPT2_PYARROW_DIR}")
    string(APPEND moderngpt2_pyarrow_reason "${folder}/pyarrow holds ${moderngpt2_arrow_count} files libarrow.so.NUMBER and "
      "${moderngpt2_parquet_count} files libparquet.so.NUMBER, expected is one of each. Remove this folder or name another. ")
  endif()
endmacro()

# Sets moderngpt2_parquet_works, and moderngpt2_parquet_works_reason if the installation found does not work.
macro(moderngpt2_find_arrow_parquet)
  set(MODERNGPT2_PYARROW_VERSION 26.0.1)  # cmake/install_dependencies.sh names the same one
  set(moderngpt2_pyarrow_reason)
  if(NOT TARGET moderngpt2::arrow_parquet)
    find_package(Arrow QUIET CONFIG)
    find_package(Parquet QUIET CONFIG)
    if(TARGET Parquet::parquet_shared AND TARGET Arrow::arrow_shared)
      add_library(moderngpt2::arrow_parquet INTERFACE IMPORTED)
      set_target_properties(moderngpt2::arrow_parquet PROPERTIES
        INTERFACE_LINK_LIBRARIES "Parquet::parquet_shared;Arrow::arrow_shared")
    endif()
  endif()
  set(MODERNGPT2_PYARROW_DIR "" CACHE PATH "An unpacked pyarrow wheel (default: where install_dependencies.sh puts it)")
  set(moderngpt2_folders "${MODERNGPT2_PYARROW_DIR}")
  if(NOT moderngpt2_folders)
    moderngpt2_cache_folder(moderngpt2_cache)
    set(moderngpt2_folders "${CMAKE_BINARY_DIR}/pyarrow-${MODERNGPT2_PYARROW_VERSION}"
      "${moderngpt2_cache}/pyarrow-${MODERNGPT2_PYARROW_VERSION}")
  endif()
  foreach(moderngpt2_folder IN LISTS moderngpt2_folders)
    if(NOT TARGET moderngpt2::arrow_parquet)
      moderngpt2_import_pyarrow("${moderngpt2_folder}")
    endif()
  endforeach()
  moderngpt2_links(moderngpt2::arrow_parquet "
    #include <arrow/config.h>
    int main() { return arrow::GetBuildInfo().version; }" moderngpt2_parquet_works)
  if(NOT TARGET moderngpt2::arrow_parquet)
    string(REGEX REPLACE "[.] $" "" moderngpt2_parquet_works_reason "${moderngpt2_pyarrow_reason}")
  endif()
endmacro()
