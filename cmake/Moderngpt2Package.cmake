# CPack settings: one package for each of the two install components, as .deb and as .tar.gz.
#
#   moderngpt2           programs with manual pages, completions and the shared libraries of Arrow
#   libmoderngpt2-dev    headers and CMake files
#
# Preset `package` configures a build whose packages also run on other machines.

set(MODERNGPT2_PACKAGE_MAINTAINER "ModernGPT2 maintainers <maintainers@localhost>" CACHE STRING
  "Maintainer of the Debian packages, as NAME <ADDRESS>")
mark_as_advanced(MODERNGPT2_PACKAGE_MAINTAINER)

set(CPACK_GENERATOR DEB TGZ)
set(CPACK_PACKAGE_NAME moderngpt2)
set(CPACK_PACKAGE_VENDOR ModernGPT2)
set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
set(CPACK_STRIP_FILES ON)
set(CPACK_THREADS 0)
set(CPACK_OUTPUT_FILE_PREFIX ${PROJECT_BINARY_DIR}/packages)
set(CPACK_PROJECT_CONFIG_FILE ${PROJECT_SOURCE_DIR}/cmake/package/config.cmake)
set(CPACK_PRE_BUILD_SCRIPTS ${PROJECT_SOURCE_DIR}/cmake/package/prepare.cmake)

set(CPACK_COMPONENTS_ALL development)
if(MODERNGPT2_BUILD_EXAMPLES)
  list(PREPEND CPACK_COMPONENTS_ALL programs)
endif()
set(CPACK_COMPONENTS_GROUPING IGNORE)
# One archive for each component. Both unpack into the folder CPACK_PACKAGE_FILE_NAME (see package/config.cmake).
string(TOLOWER "${CMAKE_SYSTEM_NAME}-${CMAKE_SYSTEM_PROCESSOR}" system)
set(CPACK_ARCHIVE_COMPONENT_INSTALL ON)
set(CPACK_PACKAGE_FILE_NAME moderngpt2-${PROJECT_VERSION})
set(CPACK_ARCHIVE_PROGRAMS_FILE_NAME moderngpt2-${PROJECT_VERSION}-${system})
set(CPACK_ARCHIVE_DEVELOPMENT_FILE_NAME moderngpt2-dev-${PROJECT_VERSION})

set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_MAINTAINER ${MODERNGPT2_PACKAGE_MAINTAINER})
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_DEBIAN_PROGRAMS_PACKAGE_NAME moderngpt2)
set(CPACK_DEBIAN_PROGRAMS_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PROGRAMS_DESCRIPTION "train and run GPT-2-like language models
Programs that train a tokenizer, turn text into token blocks, train a
GPT-2-like language model and generate text with it. Weights, configurations
and tokenizers are in the format of Hugging Face.

The programs check that the processor has the instructions that they were
compiled for; packages of the preset 'package' need x86-64-v3 (AVX2, FMA).")
set(CPACK_DEBIAN_PROGRAMS_PACKAGE_SHLIBDEPS ON)
set(arrow_folders)
foreach(library IN LISTS MODERNGPT2_ARROW_LIBRARIES)
  cmake_path(GET library PARENT_PATH folder)
  list(APPEND arrow_folders ${folder})
endforeach()
list(REMOVE_DUPLICATES arrow_folders)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${arrow_folders})
# The package depends on the core's requirements, recommends oneDNN, which is used if found, and suggests packages that
# only some components need.
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libmoderngpt2-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_ARCHITECTURE all)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_DESCRIPTION "C++20 library for GPT-2-like language models
Headers and CMake files of the library behind the programs of the package
moderngpt2: layers, models, training and tokenizers, configured at compile
time or at run time.")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS
  "libeigen3-dev (>= 3.4), libfmt-dev (>= 9), nlohmann-json3-dev (>= 3.11), libpcre2-dev (>= 10.40), libutf8proc-dev, \
libxxhash-dev")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_RECOMMENDS "libdnnl-dev")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SUGGESTS
  "cmake (>= 3.24), g++ (>= 12), libcli11-dev, libsentencepiece-dev, libyaml-cpp-dev, libzstd-dev, zlib1g-dev")

# Licences of the header-only libraries that are compiled into the programs, taken from their Debian packages.
foreach(package libeigen3-dev nlohmann-json3-dev libcli11-dev)
  if(EXISTS /usr/share/doc/${package}/copyright)
    install(FILES /usr/share/doc/${package}/copyright DESTINATION ${licence_folder}/${package} COMPONENT programs)
  endif()
endforeach()
set(parts ${PROJECT_SOURCE_DIR}/cmake/package)
install(FILES ${parts}/copyright ${parts}/README.txt DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}/doc/moderngpt2
  COMPONENT programs)
install(FILES ${parts}/copyright DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}/doc/libmoderngpt2-dev COMPONENT development)

# Read by package/config.cmake.
set(CPACK_MODERNGPT2_ARCH "${MODERNGPT2_ARCH}")
include(CPack)
