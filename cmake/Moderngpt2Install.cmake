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
  COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
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

set(licence_folder ${CMAKE_INSTALL_DATAROOTDIR}/licenses/moderngpt2)
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${licence_folder} COMPONENT development)
if(MODERNGPT2_BUILD_EXAMPLES AND MODERNGPT2_HAVE_PARQUET AND MODERNGPT2_ARROW_LIBRARIES)
  install(FILES ${MODERNGPT2_ARROW_LIBRARIES} DESTINATION ${CMAKE_INSTALL_LIBDIR}/moderngpt2 COMPONENT programs)
  install(FILES ${MODERNGPT2_ARROW_LICENSES} DESTINATION ${licence_folder}/arrow COMPONENT programs)
endif()
