# moderngpt2_add_model(NAME CONFIG config.json [REGISTERED_ACTIVATION name])
#
# Reads a Hugging Face config.json (model_type moderngpt2 or gemma2) and creates the INTERFACE target NAME. A target
# that links it can include the generated header:
#
#   #include "moderngpt2/models/NAME.hpp"
#   using Model = moderngpt2::CausalLM<moderngpt2::models::NAME, ...>;
#
# where moderngpt2::models::NAME is a ModelShape whose every field is a compile-time constant. If the file has the
# activation REGISTERED_ACTIVATION, which the program adds by register_activation(), only the activation is not.

include_guard(GLOBAL)

# The table of activations: installed beside this file, or in the sources.
set(_moderngpt2_activations ${CMAKE_CURRENT_LIST_DIR}/activations.def)
if(NOT EXISTS ${_moderngpt2_activations})
  set(_moderngpt2_activations ${CMAKE_CURRENT_LIST_DIR}/../include/moderngpt2/config/activations.def)
endif()
set_property(GLOBAL PROPERTY moderngpt2_activations ${_moderngpt2_activations})

# The value of `field` under whichever of its names the file uses; `default` where it is absent or null.
function(_moderngpt2_read_field result default)
  set(value)
  set(value_name)
  foreach(name IN LISTS ARGN)
    string(JSON type ERROR_VARIABLE absent TYPE "${json}" ${name})
    if(absent OR type STREQUAL "NULL")
      continue()
    endif()
    string(JSON found GET "${json}" ${name})
    if(value_name AND NOT "${found}" STREQUAL "${value}")
      message(FATAL_ERROR "${where}: ${name} is ${found}, and ${value_name} is ${value}: one of them must go")
    endif()
    set(value "${found}")
    set(value_name ${name})
    set(value_type ${type})
  endforeach()
  list(GET ARGN 0 name)
  if(NOT value_name)
    if(default STREQUAL "required")
      message(FATAL_ERROR "${where}: ${name} is missing")
    endif()
    set(${result} "${default}" PARENT_SCOPE)
    return()
  endif()
  if(NOT value_type STREQUAL "${expected_type}")
    string(TOLOWER "${expected_type}" expected_type)
    message(FATAL_ERROR "${where}: ${value_name} is ${value}, where a ${expected_type} is expected")
  endif()
  if(expected_type STREQUAL "NUMBER" AND (NOT value MATCHES "^[1-9][0-9]*$" OR value GREATER 1000000000))
    message(FATAL_ERROR "${where}: ${value_name} is ${value}, where a whole number from 1 to 1000000000 is expected")
  endif()
  set(${result} "${value}" PARENT_SCOPE)
endfunction()

function(moderngpt2_add_model model)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "CONFIG;REGISTERED_ACTIVATION" "")
  if(NOT arg_CONFIG OR arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "moderngpt2_add_model: write moderngpt2_add_model(NAME CONFIG config.json "
      "[REGISTERED_ACTIVATION name])")
  endif()
  if(NOT model MATCHES "^[A-Za-z][A-Za-z0-9_]*$")
    message(FATAL_ERROR "moderngpt2_add_model: ${model} is no name of a C++ constant")
  endif()
  cmake_path(ABSOLUTE_PATH arg_CONFIG BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR} NORMALIZE OUTPUT_VARIABLE file)
  set(where "moderngpt2_add_model(${model}): ${file}")
  if(NOT EXISTS ${file} OR IS_DIRECTORY ${file})
    message(FATAL_ERROR "${where}: no such file")
  endif()
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})

  file(READ ${file} json)
  string(JSON kind ERROR_VARIABLE error TYPE "${json}")
  if(error)
    message(FATAL_ERROR "${where}: not a JSON file (${error})")
  elseif(NOT kind STREQUAL "OBJECT")
    message(FATAL_ERROR "${where}: a JSON object is expected")
  endif()

  # A moderngpt2 file may omit fields. Gemma 2's own defaults are those of one model size, so a gemma2 file must contain
  # them.
  set(expected_type STRING)
  _moderngpt2_read_field(model_type moderngpt2 model_type)
  set(expected_type NUMBER)
  if(model_type STREQUAL "moderngpt2")
    _moderngpt2_read_field(n_layer 12 n_layer num_hidden_layers)
    _moderngpt2_read_field(n_embd 768 n_embd hidden_size)
    _moderngpt2_read_field(n_head 12 n_head num_attention_heads)
    _moderngpt2_read_field(n_kv_head ${n_head} num_key_value_heads)
    _moderngpt2_read_field(head_dim 0 head_dim)
    math(EXPR four_times "4 * ${n_embd}")
    _moderngpt2_read_field(n_inner ${four_times} intermediate_size n_inner)
    set(expected_type STRING)
    _moderngpt2_read_field(activation gelu_pytorch_tanh activation_function hidden_activation hidden_act)
  elseif(model_type STREQUAL "gemma2")
    _moderngpt2_read_field(n_layer required num_hidden_layers)
    _moderngpt2_read_field(n_embd required hidden_size)
    _moderngpt2_read_field(n_head required num_attention_heads)
    _moderngpt2_read_field(n_kv_head required num_key_value_heads)
    _moderngpt2_read_field(head_dim required head_dim)
    _moderngpt2_read_field(n_inner required intermediate_size)
    set(expected_type STRING)
    _moderngpt2_read_field(activation required hidden_activation hidden_act)
  else()
    message(FATAL_ERROR "${where}: model_type is ${model_type}, where moderngpt2 or gemma2 is expected")
  endif()
  set(expected_type BOOLEAN)
  _moderngpt2_read_field(bias OFF attention_bias)
  _moderngpt2_read_field(tied ON tie_word_embeddings)

  math(EXPR left_over "${n_head} % ${n_kv_head}")
  if(NOT left_over EQUAL 0)
    message(FATAL_ERROR "${where}: num_key_value_heads ${n_kv_head} does not divide n_head ${n_head}")
  endif()
  if(head_dim EQUAL 0)
    math(EXPR left_over "${n_embd} % ${n_head}")
    if(NOT left_over EQUAL 0)
      message(FATAL_ERROR "${where}: n_head ${n_head} does not divide n_embd ${n_embd}, so head_dim must be given")
    endif()
    math(EXPR head_dim "${n_embd} / ${n_head}")
  endif()
  if(NOT head_dim MATCHES "[02468]$")
    message(FATAL_ERROR "${where}: head_dim ${head_dim} is odd, and rotary positions turn pairs")
  endif()

  # A row of the table: MODERNGPT2_ACTIVATION(enumerator, "name", "other name"...)
  get_property(activations_file GLOBAL PROPERTY moderngpt2_activations)
  file(STRINGS ${activations_file} rows REGEX "^MODERNGPT2_ACTIVATION")
  set(known_names)
  set(enumerator)
  foreach(row IN LISTS rows)
    string(REGEX MATCH "\\(([a-z0-9_]+)" ignored "${row}")
    set(row_enumerator ${CMAKE_MATCH_1})
    string(REGEX MATCHALL "\"[^\"]+\"" row_names "${row}")
    string(REPLACE "\"" "" row_names "${row_names}")
    list(APPEND known_names ${row_names})
    if(activation IN_LIST row_names)
      set(enumerator ${row_enumerator})
    endif()
  endforeach()
  if(arg_REGISTERED_ACTIVATION IN_LIST known_names)
    message(FATAL_ERROR "${where}: REGISTERED_ACTIVATION ${arg_REGISTERED_ACTIVATION} is the name of a built-in one")
  elseif(NOT enumerator AND arg_REGISTERED_ACTIVATION AND activation STREQUAL arg_REGISTERED_ACTIVATION)
    set(enumerator dynamic)
  elseif(NOT enumerator)
    list(JOIN known_names ", " known_names)
    message(FATAL_ERROR "${where}: unknown activation ${activation}; known are ${known_names}. If the program adds it "
      "by register_activation(), write REGISTERED_ACTIVATION ${activation} after CONFIG.")
  endif()
  set(activation ${enumerator})
  foreach(toggle bias tied)
    if(${toggle})
      set(${toggle} on)
    else()
      set(${toggle} off)
    endif()
  endforeach()

  set(folder ${CMAKE_CURRENT_BINARY_DIR}/moderngpt2_models/${model})
  file(CONFIGURE OUTPUT ${folder}/moderngpt2/models/${model}.hpp @ONLY CONTENT [[
#pragma once

#include "moderngpt2/config/model_shape.hpp"

namespace moderngpt2::models {

/// Made by moderngpt2_add_model from @file@.
inline constexpr ModelShape @model@{
    .n_layer = @n_layer@,
    .n_embd = @n_embd@,
    .n_head = @n_head@,
    .n_kv_head = @n_kv_head@,
    .head_dim = @head_dim@,
    .n_inner = @n_inner@,
    .activation = Activation::@activation@,
    .attention_bias = Toggle::@bias@,
    .tied_head = Toggle::@tied@,
};

}  // namespace moderngpt2::models
]])
  add_library(${model} INTERFACE)
  target_link_libraries(${model} INTERFACE moderngpt2::moderngpt2)
  target_include_directories(${model} INTERFACE ${folder})
endfunction()
