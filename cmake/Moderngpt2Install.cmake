# cmake --install: headers and CMake files (component development), programs with the shared libraries that are not in
# system packages (component programs).

include(CMakePackageConfigHelpers)
set(package_folder ${CMAKE_INSTALL_DATAROOTDIR}/cmake/moderngpt2)  # independent of the processor

get_property(components GLOBAL PROPERTY moderngpt2_components)
install(TARGETS ${components} EXPORT moderngpt2Targets)
install(EXPORT moderngpt2Targets NAMESPACE moderngpt2:: DESTINATION ${package_folder} COMPONENT development)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/moderngpt2 DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  COMPONENT development FILES_MATCHING PATTERN *.hpp PATTERN *.cuh PATTERN *.def)

configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/moderngpt2Config.cmake.in
  ${PROJECT_BINARY_DIR}/moderngpt2Config.cmake INSTALL_DESTINATION ${package_folder})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/moderngpt2ConfigVersion.cmake
  COMPATIBILITY SameMajorVersion ARCH_INDEPENDENT)
install(FILES
  ${PROJECT_BINARY_DIR}/moderngpt2Config.cmake
  ${PROJECT_BINARY_DIR}/moderngpt2ConfigVersion.cmake
  ${PROJECT_SOURCE_DIR}/cmake/Moderngpt2Dependencies.cmake
  ${PROJECT_SOURCE_DIR}/cmake/Moderngpt2ArrowParquet.cmake
  ${PROJECT_SOURCE_DIR}/cmake/Moderngpt2AddModel.cmake
  ${PROJECT_SOURCE_DIR}/cmake/Moderngpt2Cuda.cmake
  ${PROJECT_SOURCE_DIR}/cmake/Moderngpt2Compiled.cmake
  ${PROJECT_SOURCE_DIR}/cmake/compile_kernels.cmake
  ${PROJECT_SOURCE_DIR}/cmake/cuda_spills.txt
  ${PROJECT_SOURCE_DIR}/include/moderngpt2/config/activations.def
  DESTINATION ${package_folder} COMPONENT development)

install(DIRECTORY ${PROJECT_SOURCE_DIR}/cmake/compiled DESTINATION ${package_folder} COMPONENT development
  FILES_MATCHING PATTERN *.cpp)

# pkg-config files for projects without CMake. `prefix` follows the folder if it is moved.
set(pkg_config_folder ${CMAKE_INSTALL_DATAROOTDIR}/pkgconfig)
function(moderngpt2_install_pkg_config name description requires cflags libraries)
  set(includedir "${CMAKE_INSTALL_INCLUDEDIR}")
  if(NOT IS_ABSOLUTE "${includedir}")
    string(PREPEND includedir "\${prefix}/")
  endif()
  string(REGEX REPLACE "[^/]+" ".." up "${pkg_config_folder}")
  file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/${name}.pc @ONLY CONTENT "prefix=\${pcfiledir}/@up@
includedir=@includedir@

Name: @name@
Description: @description@
Version: @PROJECT_VERSION@
Requires: @requires@
Cflags: @cflags@
Libs: @libraries@
")
  install(FILES ${PROJECT_BINARY_DIR}/${name}.pc DESTINATION ${pkg_config_folder} COMPONENT development)
endfunction()
if(NOT IS_ABSOLUTE "${pkg_config_folder}")
  moderngpt2_install_pkg_config(moderngpt2 "Header-only C++20 library for GPT-2-like language models"
    "fmt eigen3 nlohmann_json libxxhash libpcre2-8 libutf8proc" "-I\${includedir} -fopenmp" "-fopenmp")
  moderngpt2_install_pkg_config(moderngpt2-onednn "moderngpt2 with matrix products by oneDNN"
    "moderngpt2 = ${PROJECT_VERSION}" "-DMODERNGPT2_HAVE_ONEDNN=1" "-ldnnl")
  moderngpt2_install_pkg_config(moderngpt2-data "Text and shards for moderngpt2, without Parquet"
    "moderngpt2 = ${PROJECT_VERSION} zlib libzstd yaml-cpp" "" "")
  moderngpt2_install_pkg_config(moderngpt2-tokenizer_training "Training of tokenizers for moderngpt2"
    "moderngpt2 = ${PROJECT_VERSION} sentencepiece" "" "")
  moderngpt2_install_pkg_config(moderngpt2-cli "Command lines for moderngpt2"
    "moderngpt2 = ${PROJECT_VERSION} CLI11" "" "")
endif()

set(licence_folder ${CMAKE_INSTALL_DATAROOTDIR}/licenses/moderngpt2)
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${licence_folder} COMPONENT development)
if(MODERNGPT2_BUILD_EXAMPLES AND MODERNGPT2_HAVE_PARQUET AND MODERNGPT2_ARROW_LIBRARIES)
  install(FILES ${MODERNGPT2_ARROW_LIBRARIES} DESTINATION ${CMAKE_INSTALL_LIBDIR}/moderngpt2 COMPONENT programs)
  install(FILES ${MODERNGPT2_ARROW_LICENSES} DESTINATION ${licence_folder}/arrow COMPONENT programs)
endif()
