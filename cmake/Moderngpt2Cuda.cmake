# moderngpt2::cuda: the kernels of backend/cuda/kernels, compiled by nvcc in the project that links them, one unit per
# operation, and the launchers' dependencies (CUDA's host headers and runtime, cuBLASLt). CMake's CUDA language is not
# enabled. moderngpt2_add_kernels() compiles CUDA files of a program.
#
#   MODERNGPT2_CUDA_ARCHITECTURES   such as "90" or "80;86": code for all that the toolkit supports, and PTX of the
#                                   newest, which drivers compile for later GPUs. Default: 80 86 89 90 100 120
#                                   (docs/decisions/010-architectures.md)
#   MODERNGPT2_CUDNN                ON: also cuDNN's attention, for programs that request it

set(moderngpt2_cuda_cmake_folder ${CMAKE_CURRENT_LIST_DIR})
set(MODERNGPT2_CUDA_ARCHITECTURES 80 86 89 90 100 120 CACHE STRING "GPU architectures that moderngpt2::cuda is for")

set(MODERNGPT2_CUDNN OFF CACHE BOOL "moderngpt2::cuda has cuDNN's attention beside its own")
set(moderngpt2_cudnn_frontend_version 1.32.0)  # install_dependencies.sh has the same one

# Finds moderngpt2::cudnn, or sets moderngpt2_cudnn_missing to the missing dependency.
macro(moderngpt2_find_cudnn)
  set(moderngpt2_cudnn_missing)
  moderngpt2_cache_folder(moderngpt2_cache)
  find_path(MODERNGPT2_CUDNN_INCLUDE_DIR cudnn_graph.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
  find_library(MODERNGPT2_CUDNN_LIBRARY NAMES cudnn libcudnn.so.9 HINTS ${CUDAToolkit_LIBRARY_DIR})
  find_path(MODERNGPT2_CUDNN_FRONTEND_DIR cudnn_frontend.h
    HINTS ${moderngpt2_cache}/cudnn-frontend-${moderngpt2_cudnn_frontend_version}/include)
  mark_as_advanced(MODERNGPT2_CUDNN_INCLUDE_DIR MODERNGPT2_CUDNN_LIBRARY MODERNGPT2_CUDNN_FRONTEND_DIR)
  if(NOT MODERNGPT2_CUDNN_INCLUDE_DIR OR NOT MODERNGPT2_CUDNN_LIBRARY)
    set(moderngpt2_cudnn_missing "cuDNN 9 (set MODERNGPT2_CUDNN_INCLUDE_DIR to the folder of its headers, and "
      "MODERNGPT2_CUDNN_LIBRARY to its libcudnn.so)")
  elseif(NOT MODERNGPT2_CUDNN_FRONTEND_DIR)
    set(moderngpt2_cudnn_missing "cudnn-frontend (run cmake/install_dependencies.sh --all-tests, or set "
      "MODERNGPT2_CUDNN_FRONTEND_DIR to the folder of cudnn_frontend.h)")
  elseif(NOT TARGET CUDA::nvrtc)
    set(moderngpt2_cudnn_missing "libnvrtc of the CUDA toolkit")
  elseif(NOT TARGET moderngpt2::cudnn)
    add_library(moderngpt2::cudnn UNKNOWN IMPORTED GLOBAL)
    set_target_properties(moderngpt2::cudnn PROPERTIES IMPORTED_LOCATION "${MODERNGPT2_CUDNN_LIBRARY}"
      INTERFACE_INCLUDE_DIRECTORIES "${MODERNGPT2_CUDNN_INCLUDE_DIR};${MODERNGPT2_CUDNN_FRONTEND_DIR}"
      INTERFACE_LINK_LIBRARIES CUDA::nvrtc)
  endif()
  string(JOIN "" moderngpt2_cudnn_missing ${moderngpt2_cudnn_missing})
endmacro()

# Sets moderngpt2_cuda_missing to missing dependencies, or to "", and moderngpt2_cuda_reason to a sentence on an
# incomplete toolkit.
macro(moderngpt2_find_cuda)
  set(moderngpt2_cuda_missing)
  set(moderngpt2_cuda_reason)
  find_package(CUDAToolkit 12 QUIET)
  if(NOT CUDAToolkit_FOUND OR NOT CUDAToolkit_NVCC_EXECUTABLE)
    set(moderngpt2_cuda_missing "nvcc of CUDA 12 or later")
    if(CUDAToolkit_VERSION AND CUDAToolkit_VERSION VERSION_LESS 12)
      set(moderngpt2_cuda_reason "${CUDAToolkit_BIN_DIR} holds CUDA ${CUDAToolkit_VERSION}, which is too old")
    elseif(CUDAToolkit_NVCC_EXECUTABLE)
      set(moderngpt2_cuda_missing "the toolkit's headers and libraries")
      set(moderngpt2_cuda_reason "${CUDAToolkit_NVCC_EXECUTABLE} was found without its cuda_runtime.h or libcudart")
    endif()
  elseif(NOT TARGET CUDA::cudart_static)
    set(moderngpt2_cuda_missing "libcudart_static")
  elseif(NOT TARGET CUDA::cublasLt)
    set(moderngpt2_cuda_missing "libcublasLt")
  endif()
endmacro()

# Sets `result` to the -gencode flags of architectures that this nvcc supports, and `unknown` to the other
# architectures.
function(moderngpt2_cuda_gencode result unknown)
  execute_process(COMMAND ${CUDAToolkit_NVCC_EXECUTABLE} --list-gpu-code OUTPUT_VARIABLE known RESULT_VARIABLE status)
  set(flags)
  set(left_out)
  set(newest 0)  # newest without a letter: PTX of 90a runs on 9.0 only
  foreach(architecture IN LISTS MODERNGPT2_CUDA_ARCHITECTURES)
    string(REGEX MATCH "^[0-9]+" number "${architecture}")
    if(number AND status EQUAL 0 AND known MATCHES "sm_${number}[^0-9]")
      list(APPEND flags -gencode arch=compute_${architecture},code=sm_${architecture})
      if(architecture STREQUAL number AND number GREATER newest)
        set(newest ${number})
      endif()
    else()
      list(APPEND left_out ${architecture})
    endif()
  endforeach()
  if(newest)
    list(APPEND flags -gencode arch=compute_${newest},code=compute_${newest})
  endif()
  set(${result} ${flags} PARENT_SCOPE)
  set(${unknown} ${left_out} PARENT_SCOPE)
endfunction()

# Creates the library from the headers in `include_folder`. WERROR makes warnings errors.
function(moderngpt2_add_cuda include_folder)
  cmake_parse_arguments(PARSE_ARGV 1 arg "WERROR" "" "")
  moderngpt2_cuda_gencode(gencode unknown)
  if(unknown)
    list(JOIN unknown " " unknown)
    message(STATUS "moderngpt2: CUDA ${CUDAToolkit_VERSION} does not know the architectures ${unknown}, they are left out")
  endif()
  if(NOT gencode)
    message(FATAL_ERROR "moderngpt2: MODERNGPT2_CUDA_ARCHITECTURES names nothing that CUDA ${CUDAToolkit_VERSION} knows: "
      "set it to a list such as 80;90")
  endif()
  # nvcc's front end cannot check fmt's format strings. Warning 554 is about a conversion that views do not need.
  set(flags -std=c++20 -O3 --expt-relaxed-constexpr -DFMT_CONSTEVAL= -DFMT_USE_CONSTEXPR=1 -diag-suppress 554
    -Xcompiler -fPIC ${gencode})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    list(APPEND flags -ccbin ${CMAKE_CXX_COMPILER})
  endif()
  if(arg_WERROR)
    list(APPEND flags -Werror all-warnings -Xcompiler -Wall,-Wextra)
  endif()
  get_target_property(fmt_folders fmt::fmt INTERFACE_INCLUDE_DIRECTORIES)
  list(FILTER fmt_folders EXCLUDE REGEX "^[$]<INSTALL_INTERFACE:")  # where fmt is built by the same project
  list(TRANSFORM fmt_folders REPLACE "^[$]<BUILD_INTERFACE:(.*)>$" "\\1")
  list(REMOVE_ITEM fmt_folders ${CMAKE_CXX_IMPLICIT_INCLUDE_DIRECTORIES})  # named again, they hide the compiler's own
  foreach(folder IN LISTS fmt_folders)
    list(APPEND flags -isystem ${folder})
  endforeach()

  set_property(GLOBAL PROPERTY moderngpt2_cuda_nvcc ${CUDAToolkit_NVCC_EXECUTABLE})
  set_property(GLOBAL PROPERTY moderngpt2_cuda_flags ${flags} -I${include_folder})  # for moderngpt2_add_kernels()

  set(folder ${CMAKE_CURRENT_BINARY_DIR}/moderngpt2_cuda)
  set(objects)
  file(GLOB kernels CONFIGURE_DEPENDS ${include_folder}/moderngpt2/backend/cuda/kernels/*.cuh)
  foreach(kernel IN LISTS kernels)
    file(STRINGS ${kernel} entries REGEX "^MODERNGPT2_CUDA_INSTANTIATE" LIMIT_COUNT 1)
    if(NOT entries)
      continue()
    endif()
    cmake_path(GET kernel STEM name)
    file(CONFIGURE OUTPUT ${folder}/${name}.cu CONTENT "#include \"moderngpt2/backend/cuda/kernels/${name}.cuh\"\n")
    add_custom_command(OUTPUT ${folder}/${name}.o BYPRODUCTS ${folder}/${name}.resources
      COMMAND ${CMAKE_COMMAND} -DNVCC=${CUDAToolkit_NVCC_EXECUTABLE} -DSOURCE=${folder}/${name}.cu
        -DOBJECT=${folder}/${name}.o -DREPORT=${folder}/${name}.resources "-DFLAGS=${flags};-I${include_folder}"
        -DSPILLS=${moderngpt2_cuda_cmake_folder}/cuda_spills.txt -P ${moderngpt2_cuda_cmake_folder}/compile_kernels.cmake
      DEPENDS ${folder}/${name}.cu ${kernel} ${moderngpt2_cuda_cmake_folder}/cuda_spills.txt
        ${moderngpt2_cuda_cmake_folder}/compile_kernels.cmake
      DEPFILE ${folder}/${name}.o.d
      COMMENT "nvcc: kernels of ${name}" VERBATIM)
    list(APPEND objects ${folder}/${name}.o)
  endforeach()
  set_source_files_properties(${objects} PROPERTIES EXTERNAL_OBJECT TRUE GENERATED TRUE)
  add_library(moderngpt2_cuda STATIC EXCLUDE_FROM_ALL ${objects})
  set_target_properties(moderngpt2_cuda PROPERTIES LINKER_LANGUAGE CXX)
  target_link_libraries(moderngpt2_cuda PUBLIC moderngpt2::moderngpt2 CUDA::cudart_static CUDA::cublasLt)
  target_compile_definitions(moderngpt2_cuda INTERFACE MODERNGPT2_HAVE_CUDA=1)
  target_include_directories(moderngpt2_cuda SYSTEM INTERFACE ${CUDAToolkit_INCLUDE_DIRS})
  add_library(moderngpt2::cuda ALIAS moderngpt2_cuda)

  if(MODERNGPT2_CUDNN)
    moderngpt2_find_cudnn()
    if(moderngpt2_cudnn_missing)
      message(FATAL_ERROR "MODERNGPT2_CUDNN is ON and there is no ${moderngpt2_cudnn_missing}")
    endif()
    file(CONFIGURE OUTPUT ${folder}/cudnn_attention.cpp
      CONTENT "#include \"moderngpt2/backend/cuda/cudnn_attention.hpp\"\n")
    target_sources(moderngpt2_cuda PRIVATE ${folder}/cudnn_attention.cpp)
    target_link_libraries(moderngpt2_cuda PRIVATE moderngpt2::cudnn)
    target_compile_definitions(moderngpt2_cuda PUBLIC MODERNGPT2_HAVE_CUDNN=1)
    if(arg_WERROR)
      target_compile_options(moderngpt2_cuda PRIVATE -Wall -Wextra -Werror)
    endif()
  endif()

  # NCCL's header is sufficient: programs with several processes load the library at run time.
  find_path(MODERNGPT2_NCCL_INCLUDE_DIR nccl.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
  mark_as_advanced(MODERNGPT2_NCCL_INCLUDE_DIR)
  set(MODERNGPT2_HAVE_NCCL OFF PARENT_SCOPE)
  if(MODERNGPT2_NCCL_INCLUDE_DIR)
    set(MODERNGPT2_HAVE_NCCL ON PARENT_SCOPE)
    target_include_directories(moderngpt2_cuda SYSTEM INTERFACE ${MODERNGPT2_NCCL_INCLUDE_DIR})
    target_compile_definitions(moderngpt2_cuda INTERFACE MODERNGPT2_HAVE_NCCL=1)
    target_link_libraries(moderngpt2_cuda INTERFACE ${CMAKE_DL_LIBS})
  endif()
endfunction()

# moderngpt2_add_kernels(TARGET file.cu...)
#
# Compiles CUDA files with the flags of the library's kernels and TARGET's own include folders, and links them into
# TARGET, an executable or a shared library. Use: kernels of an activation (backend/cuda/kernels/user_activation.cuh).
function(moderngpt2_add_kernels target)
  if(NOT TARGET ${target} OR NOT ARGN)
    message(FATAL_ERROR "moderngpt2_add_kernels: write moderngpt2_add_kernels(TARGET file.cu...) after add_executable")
  endif()
  get_property(nvcc GLOBAL PROPERTY moderngpt2_cuda_nvcc)
  get_property(flags GLOBAL PROPERTY moderngpt2_cuda_flags)
  if(NOT nvcc)
    message(FATAL_ERROR "moderngpt2_add_kernels(${target}): the target moderngpt2::cuda does not exist")
  endif()
  set(folders "$<TARGET_PROPERTY:${target},INCLUDE_DIRECTORIES>")
  set(output ${CMAKE_CURRENT_BINARY_DIR}/${target}_kernels)
  file(MAKE_DIRECTORY ${output})
  foreach(file IN LISTS ARGN)
    cmake_path(ABSOLUTE_PATH file BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR} NORMALIZE)
    if(NOT EXISTS ${file})
      message(FATAL_ERROR "moderngpt2_add_kernels(${target}): ${file}: no such file")
    endif()
    cmake_path(GET file STEM name)
    set(object ${output}/${name}.o)
    add_custom_command(OUTPUT ${object} BYPRODUCTS ${output}/${name}.resources
      COMMAND ${CMAKE_COMMAND} -DNVCC=${nvcc} -DSOURCE=${file} -DOBJECT=${object}
        -DREPORT=${output}/${name}.resources "-DFLAGS=${flags};$<$<BOOL:${folders}>:-I$<JOIN:${folders},;-I>>"
        -P ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/compile_kernels.cmake
      DEPENDS ${file} ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/compile_kernels.cmake
      DEPFILE ${object}.d
      COMMENT "nvcc: ${name}.cu of ${target}" VERBATIM)
    set_source_files_properties(${object} PROPERTIES EXTERNAL_OBJECT TRUE GENERATED TRUE)
    target_sources(${target} PRIVATE ${object})
  endforeach()
endfunction()
