# The targets: moderngpt2::moderngpt2 and the components that only some users need.

set(moderngpt2_hint "run cmake/install_dependencies.sh, or install it by hand")
if(CMAKE_CROSSCOMPILING)
  set(moderngpt2_hint "install it for ${CMAKE_SYSTEM_PROCESSOR} and set CMAKE_FIND_ROOT_PATH to where it is")
endif()

# Adds a row to the table that moderngpt2_print_summary() prints: a dependency, "yes", "no" or "off", and sentences on its
# version or on what it costs to be without it.
function(moderngpt2_report name state text)
  string(REPLACE ";" ", " text "${text}")
  set_property(GLOBAL APPEND PROPERTY moderngpt2_summary "${name}|${state}|${text}")
endfunction()

function(moderngpt2_print_summary)
  get_property(rows GLOBAL PROPERTY moderngpt2_summary)
  message(STATUS "moderngpt2 ${PROJECT_VERSION} is built with")
  foreach(row IN LISTS rows)
    string(REGEX MATCH "^([^|]*)\\|([^|]*)\\|(.*)$" row "${row}")
    string(SUBSTRING "${CMAKE_MATCH_1}                       " 0 23 name)
    string(SUBSTRING "${CMAKE_MATCH_2}    " 0 4 state)
    string(STRIP "${state} ${CMAKE_MATCH_3}" state)
    message(STATUS "  ${name} ${state}")
  endforeach()
endfunction()

# Reports the optional dependency NAME, which the option MODERNGPT2_<OPTION> asks for: ON ends the configuration where it
# does not work. `reason`: a sentence on what was found and does not work, or nothing.
function(moderngpt2_report_option name option works reason cost hint)
  string(REGEX REPLACE "^(.+)$" " \\1." reason "${reason}")
  if(works)
    moderngpt2_report("${name}" yes "")
  elseif(MODERNGPT2_${option} STREQUAL "OFF")
    moderngpt2_report("${name}" off "${cost}.")
  elseif(MODERNGPT2_${option} STREQUAL "AUTO")
    moderngpt2_report("${name}" no "${cost}.${reason} To have it, ${hint}.")
  else()
    message(FATAL_ERROR "MODERNGPT2_${option} is ON, and ${name} was not found or does not link.${reason} To have it, ${hint}.")
  endif()
endfunction()

# moderngpt2::NAME, linking the given targets. Exported, so downstream sees the same names.
function(moderngpt2_add_component name)
  if(name STREQUAL "moderngpt2")
    set(target moderngpt2)
  else()
    set(target moderngpt2_${name})
  endif()
  add_library(${target} INTERFACE)
  add_library(moderngpt2::${name} ALIAS ${target})
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${name})
  target_link_libraries(${target} INTERFACE ${ARGN})
  set_property(GLOBAL APPEND PROPERTY moderngpt2_components ${target})
endfunction()

moderngpt2_find_core()
if(moderngpt2_missing)
  list(JOIN moderngpt2_missing ", " moderngpt2_missing)
  message(FATAL_ERROR "moderngpt2 needs ${moderngpt2_missing}: ${moderngpt2_hint}")
endif()
moderngpt2_add_component(moderngpt2
  Eigen3::Eigen fmt::fmt nlohmann_json::nlohmann_json OpenMP::OpenMP_CXX Threads::Threads moderngpt2::xxhash)
target_compile_features(moderngpt2 INTERFACE cxx_std_20)
target_include_directories(moderngpt2 INTERFACE
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)

set(MODERNGPT2_HAVE_ONEDNN OFF)
if(NOT MODERNGPT2_ONEDNN STREQUAL "OFF")
  moderngpt2_find_onednn()
  if(moderngpt2_onednn_works)
    set(MODERNGPT2_HAVE_ONEDNN ON)
    # Once installed, moderngpt2Config.cmake decides anew.
    target_link_libraries(moderngpt2 INTERFACE $<BUILD_INTERFACE:moderngpt2::onednn>)
    target_compile_definitions(moderngpt2 INTERFACE $<BUILD_INTERFACE:MODERNGPT2_HAVE_ONEDNN=1>)
  endif()
endif()
moderngpt2_report_option(oneDNN ONEDNN ${MODERNGPT2_HAVE_ONEDNN} "${moderngpt2_onednn_works_reason}"
  "Matrix products use Eigen: slower, and bf16 without the processor's instructions for it" "${moderngpt2_hint}")

# Each component is there when its packages are. Two lists for each: the packages' targets, and what is lost without.
set(moderngpt2_packages_data ZLIB::ZLIB moderngpt2::zstd yaml-cpp::yaml-cpp)
set(moderngpt2_packages_tokenizer_training moderngpt2::sentencepiece_train moderngpt2::sentencepiece)
set(moderngpt2_packages_cli CLI11::CLI11)
set(moderngpt2_name_data "zlib, zstd, yaml-cpp")
set(moderngpt2_name_tokenizer_training sentencepiece)
set(moderngpt2_name_cli CLI11)
set(moderngpt2_cost_data "the component data is left out, and train with it")
set(moderngpt2_cost_tokenizer_training "the component tokenizer_training is left out, and train_tokenizer with it")
set(moderngpt2_cost_cli "the component cli is left out, and with it all programs but custom_layer")
foreach(component data tokenizer_training cli)
  cmake_language(CALL moderngpt2_find_${component})
  if(moderngpt2_missing)
    list(JOIN moderngpt2_missing ", " moderngpt2_missing)
    moderngpt2_report("${moderngpt2_name_${component}}" no
      "${moderngpt2_missing} was not found: ${moderngpt2_cost_${component}}. To have it, ${moderngpt2_hint}.")
    continue()
  endif()
  moderngpt2_report("${moderngpt2_name_${component}}" yes "")
  moderngpt2_add_component(${component} moderngpt2 ${moderngpt2_packages_${component}})
endforeach()

set(MODERNGPT2_HAVE_PARQUET OFF)
if(NOT MODERNGPT2_PARQUET STREQUAL "OFF")
  moderngpt2_find_arrow_parquet()
endif()
if(TARGET moderngpt2_data AND moderngpt2_parquet_works)
  set(MODERNGPT2_HAVE_PARQUET ON)
  target_link_libraries(moderngpt2_data INTERFACE $<BUILD_INTERFACE:moderngpt2::arrow_parquet>)
  target_compile_definitions(moderngpt2_data INTERFACE $<BUILD_INTERFACE:MODERNGPT2_HAVE_PARQUET=1>)
endif()
moderngpt2_report_option(Parquet PARQUET ${MODERNGPT2_HAVE_PARQUET} "${moderngpt2_parquet_works_reason}"
  "pretokenize_dataset is left out, and train reads only labelled examples in JSON lines (--task)"
  "run cmake/install_dependencies.sh, or set MODERNGPT2_PYARROW_DIR to an unpacked pyarrow wheel")

if(TARGET moderngpt2_data AND TARGET moderngpt2_cli)
  include(Moderngpt2Compiled)
  moderngpt2_add_compiled()
endif()

# Not in moderngpt2_everything: only programs of several processes are to load an MPI library.
set(MODERNGPT2_HAVE_MPI OFF)
if(NOT MODERNGPT2_MPI STREQUAL "OFF")
  moderngpt2_find_mpi()
  if(NOT moderngpt2_missing)
    set(MODERNGPT2_HAVE_MPI ON)
    moderngpt2_add_component(mpi moderngpt2 MPI::MPI_CXX)
    target_compile_definitions(moderngpt2_mpi INTERFACE MODERNGPT2_HAVE_MPI=1)
  endif()
endif()
moderngpt2_report_option(MPI MPI ${MODERNGPT2_HAVE_MPI} "${moderngpt2_mpi_works_reason}"
  "train runs as one process"
  "install one (Debian: libopenmpi-dev, openmpi-bin), or load the cluster's module")

# Compiled here or, once installed, in the project that asks for the component cuda.
set(MODERNGPT2_HAVE_CUDA OFF)
set(MODERNGPT2_HAVE_NCCL OFF)
if(NOT MODERNGPT2_CUDA STREQUAL "OFF")
  include(Moderngpt2Cuda)
  moderngpt2_find_cuda()
  if(NOT moderngpt2_cuda_missing)
    set(MODERNGPT2_HAVE_CUDA ON)
    if(MODERNGPT2_WERROR)
      moderngpt2_add_cuda(${PROJECT_SOURCE_DIR}/include WERROR)
    else()
      moderngpt2_add_cuda(${PROJECT_SOURCE_DIR}/include)
    endif()
  endif()
endif()
moderngpt2_report_option(CUDA CUDA ${MODERNGPT2_HAVE_CUDA} "${moderngpt2_cuda_reason}"
  "The component cuda is left out, and programs compute on the processor"
  "install ${moderngpt2_cuda_missing}, or set CUDAToolkit_ROOT to the toolkit's folder")
if(MODERNGPT2_HAVE_CUDA AND NOT MODERNGPT2_CUDA STREQUAL "ON" AND MODERNGPT2_BUILD_EXAMPLES)
  moderngpt2_report("CUDA in programs" off "Programs compute on the processor. MODERNGPT2_CUDA=ON gives them --device cuda.")
endif()
if(MODERNGPT2_HAVE_CUDA)
  if(MODERNGPT2_HAVE_NCCL)
    moderngpt2_report(NCCL yes "")
  else()
    moderngpt2_report(NCCL no "One process, one GPU. To have more, install NCCL's header (libnccl-dev).")
  endif()
  if(MODERNGPT2_CUDNN)
    moderngpt2_report(cuDNN yes "")
  else()
    moderngpt2_report(cuDNN off "Attention uses this project's kernels only. MODERNGPT2_CUDNN=ON adds cuDNN's.")
  endif()
elseif(MODERNGPT2_CUDNN)
  message(FATAL_ERROR "MODERNGPT2_CUDNN is ON, which moderngpt2::cuda alone can use, and this build has no CUDA: set "
    "MODERNGPT2_CUDA=ON")
endif()
