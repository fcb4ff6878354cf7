# cmake -D program=FILE -D emulator=COMMAND -D folder=FOLDER -P write_manual.cmake
#
# Runs a program to write its manual page and its completions. Skipped without an error for programs that cannot run on
# this machine (built for another processor).

cmake_path(GET program FILENAME name)
file(MAKE_DIRECTORY ${folder})
foreach(pair "${name}.1|--help_man" "${name}|--completion=bash" "_${name}|--completion=zsh"
    "${name}.fish|--completion=fish")
  string(REPLACE "|" ";" pair ${pair})
  list(GET pair 0 file)
  list(GET pair 1 flag)
  execute_process(COMMAND ${emulator} ${program} ${flag} RESULT_VARIABLE status OUTPUT_VARIABLE text ERROR_QUIET)
  if(status STREQUAL "0")
    file(WRITE ${folder}/${file} "${text}")
  else()
    message(STATUS "${name} ${flag} does not run here: its manual is left out")
    file(REMOVE ${folder}/${file})
  endif()
endforeach()
