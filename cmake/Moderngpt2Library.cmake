# Targets: moderngpt2::moderngpt2 and its optional components.

set(moderngpt2_hint "run cmake/install_dependencies.sh, or install it by hand")
if(CMAKE_CROSSCOMPILING)
  set(moderngpt2_hint "install it for ${CMAKE_SYSTEM_PROCESSOR} and set CMAKE_FIND_ROOT_PATH to where it is")
endif()

# Adds a row to the table that moderngpt2_print_summary() prints: the name of a dependency, its state ("yes", "no" or
# "off"), and what is left out without it.
function(moderngpt2_report name state text)
  string(REPLACE ";" ", " text "${text}")
  set_property(GLOBAL APPEND PROPERTY moderngpt2_summary "${name}|${state}|${text}")
endfunction()

function(moderngpt2_print_summary)
  get_property(rows GLOBAL PROPERTY moderngpt2_summary)
  message(STATUS "moderngpt2 ${PROJECT_VERSION}, optional dependencies:")
  foreach(row IN LISTS rows)
    string(REGEX MATCH "^([^|]*)\\|([^|]*)\\|(.*)$" row "${row}")
    string(SUBSTRING "${CMAKE_MATCH_1}                       " 0 23 name)
    string(SUBSTRING "${CMAKE_MATCH_2}    " 0 4 state)
    string(STRIP "${state} ${CMAKE_MATCH_3}" state)
    message(STATUS "  ${name} ${state}")
  endforeach()
endfunction()

# Reports the optional dependency `name`, controlled by MODERNGPT2_<option> (AUTO, ON or OFF). With ON, a dependency
# that does not work is a fatal error. `reason`: why what was found does not work, or "".
function(moderngpt2_report_option name option works reason cost hint)
  string(REGEX REPLACE "^(.+)$" " \\1." reason "${reason}")
  if(works)
    moderngpt2_report("${name}" yes "")
  elseif(MODERNGPT2_${option} STREQUAL "OFF")
    moderngpt2_report("${name}" off "${cost}.")
  elseif(MODERNGPT2_${option} STREQUAL "AUTO")
    moderngpt2_report("${name}" no "${cost}.${reason} To have it, ${hint}.")
  elseif(reason)
    message(FATAL_ERROR "MODERNGPT2_${option} is ON, and ${name} cannot be used.${reason} To have it, ${hint}.")
  else()
    message(FATAL_ERROR "MODERNGPT2_${option} is ON, and ${name} was not found. To have it, ${hint}.")
  endif()
endfunction()

# Creates moderngpt2::NAME, linking the given targets. Exported under the same name.
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

if(TARGET moderngpt2::moderngpt2)
  message(FATAL_ERROR "moderngpt2: this project already has the target moderngpt2::moderngpt2, by find_package, "
    "add_subdirectory or FetchContent. Keep one of them.")
endif()
moderngpt2_find_core()
if(moderngpt2_missing)
  list(JOIN moderngpt2_missing ", " moderngpt2_missing)
  message(FATAL_ERROR "moderngpt2 needs ${moderngpt2_missing}: ${moderngpt2_hint}")
endif()
moderngpt2_add_component(moderngpt2
  Eigen3::Eigen fmt::fmt nlohmann_json::nlohmann_json OpenMP::OpenMP_CXX Threads::Threads moderngpt2::xxhash
  moderngpt2::pcre2 moderngpt2::utf8proc)
target_compile_features(moderngpt2 INTERFACE cxx_std_20)
target_include_directories(moderngpt2 INTERFACE
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)

set(MODERNGPT2_HAVE_ONEDNN OFF)
if(NOT MODERNGPT2_ONEDNN STREQUAL "OFF")
  moderngpt2_find_onednn()
  if(moderngpt2_onednn_works)
    set(MODERNGPT2_HAVE_ONEDNN ON)
    # For this build only: an installed moderngpt2Config.cmake finds oneDNN itself.
    target_link_libraries(moderngpt2 INTERFACE $<BUILD_INTERFACE:moderngpt2::onednn>)
    target_compile_definitions(moderngpt2 INTERFACE $<BUILD_INTERFACE:MODERNGPT2_HAVE_ONEDNN=1>)
    get_target_property(folder moderngpt2::onednn INTERFACE_INCLUDE_DIRECTORIES)
    foreach(file ${folder}/oneapi/dnnl/dnnl_config.h ${folder}/dnnl_config.h)
      if(EXISTS "${file}")
        file(STRINGS "${file}" line REGEX "^#define DNNL_CPU_THREADING_RUNTIME DNNL_RUNTIME_[A-Z]+" LIMIT_COUNT 1)
        if(line MATCHES "RUNTIME_(SEQ|TBB|THREADPOOL)$")
          message(WARNING "moderngpt2: the oneDNN of ${folder} has the threading runtime ${CMAKE_MATCH_1}, so that matrix "
            "products do not use the threads of OpenMP. Install one with OMP, or set MODERNGPT2_ONEDNN=OFF.")
          break()
        endif()
      endif()
    endforeach()
  endif()
endif()
moderngpt2_report_option(oneDNN ONEDNN ${MODERNGPT2_HAVE_ONEDNN} "${moderngpt2_onednn_works_reason}"
  "Matrix products use Eigen: slower, and without the processor's bf16 instructions" "${moderngpt2_hint}")

# A component is available if its packages are. For each component: targets of the packages, their names in the table,
# and a description of the features that need it.
set(moderngpt2_packages_data ZLIB::ZLIB moderngpt2::zstd yaml-cpp::yaml-cpp)
set(moderngpt2_packages_tokenizer_training moderngpt2::sentencepiece_train moderngpt2::sentencepiece)
set(moderngpt2_packages_cli CLI11::CLI11)
set(moderngpt2_name_data "zlib, zstd, yaml-cpp")
set(moderngpt2_name_tokenizer_training sentencepiece)
set(moderngpt2_name_cli CLI11)
string(CONCAT moderngpt2_cost_data "the component data is left out, and with it train, train_tokenizer, "
  "pretokenize_dataset, make_stories and make_dialogues")
set(moderngpt2_cost_tokenizer_training "the component tokenizer_training is left out, and train_tokenizer with it; convert_tokenizer does not compare ids")
set(moderngpt2_cost_cli "the component cli is left out, and with it all programs but custom_*")
foreach(component data tokenizer_training cli)
  cmake_language(CALL moderngpt2_find_${component})
  if(moderngpt2_missing)
    list(JOIN moderngpt2_missing ", " moderngpt2_missing)
    moderngpt2_report("${moderngpt2_name_${component}}" no
      "${moderngpt2_missing} is missing: ${moderngpt2_cost_${component}}. To have it, ${moderngpt2_hint}.")
    continue()
  endif()
  moderngpt2_report("${moderngpt2_name_${component}}" yes "")
  moderngpt2_add_component(${component} moderngpt2 ${moderngpt2_packages_${component}})
endforeach()

if(TARGET moderngpt2_tokenizer_training)
  target_compile_definitions(moderngpt2_tokenizer_training INTERFACE $<BUILD_INTERFACE:MODERNGPT2_HAVE_SENTENCEPIECE=1>)
endif()

set(MODERNGPT2_HAVE_PARQUET OFF)
if(NOT MODERNGPT2_PARQUET STREQUAL "OFF")
  moderngpt2_find_arrow_parquet()
endif()
if(TARGET moderngpt2_data AND moderngpt2_parquet_works)
  set(MODERNGPT2_HAVE_PARQUET ON)
  target_link_libraries(moderngpt2_data INTERFACE $<BUILD_INTERFACE:moderngpt2::arrow_parquet>)
  target_compile_definitions(moderngpt2_data INTERFACE $<BUILD_INTERFACE:MODERNGPT2_HAVE_PARQUET=1>)
elseif(moderngpt2_parquet_works)
  set(moderngpt2_parquet_works_reason "It was found, but its component data lacks one of zlib, zstd and yaml-cpp")
endif()
moderngpt2_report_option(Parquet PARQUET ${MODERNGPT2_HAVE_PARQUET} "${moderngpt2_parquet_works_reason}"
  "pretokenize_dataset is left out, and train reads only labelled examples in JSON lines (--task)"
  "run cmake/install_dependencies.sh, or set MODERNGPT2_PYARROW_DIR to an unpacked pyarrow wheel")

if(TARGET moderngpt2_data AND TARGET moderngpt2_cli)
  include(Moderngpt2Compiled)
  moderngpt2_add_compiled()
endif()

# Not in moderngpt2_everything: only programs with several processes should load an MPI library.
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
  "install an MPI library (Debian: libopenmpi-dev, openmpi-bin), or load the cluster's MPI module")

# Compiled here or, if installed, in the project that requests the component cuda.
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
  "The component cuda is left out, and programs run on the CPU"
  "install ${moderngpt2_cuda_missing}, or set CUDAToolkit_ROOT to the toolkit's folder")
if(MODERNGPT2_HAVE_CUDA AND NOT MODERNGPT2_CUDA STREQUAL "ON" AND MODERNGPT2_BUILD_EXAMPLES)
  moderngpt2_report("CUDA in programs" off "Programs run on the CPU. MODERNGPT2_CUDA=ON adds --device cuda.")
endif()
if(MODERNGPT2_HAVE_CUDA)
  if(MODERNGPT2_HAVE_NCCL)
    moderngpt2_report(NCCL yes "")
  else()
    moderngpt2_report(NCCL no "train uses one process and one GPU. For several, install NCCL's header (libnccl-dev).")
  endif()
  if(MODERNGPT2_CUDNN)
    moderngpt2_report(cuDNN yes "")
  else()
    moderngpt2_report(cuDNN off "Attention uses this project's kernels. MODERNGPT2_CUDNN=ON adds cuDNN's attention.")
  endif()
elseif(MODERNGPT2_CUDNN)
  message(FATAL_ERROR "MODERNGPT2_CUDNN is ON, but this build has no component cuda: set MODERNGPT2_CUDA=ON")
endif()
