# Manual pages and shell completions, written by the programs after they are built.

include_guard(GLOBAL)
set(moderngpt2_write_manual ${CMAKE_CURRENT_LIST_DIR}/write_manual.cmake)

# Installs the manual page and the completions of the program `name`, built from `source`, if it needs the component
# cli. Skipped for programs that cannot run on this machine.
function(moderngpt2_install_manual name source)
  moderngpt2_needs_of(${source} needs)
  if(NOT cli IN_LIST needs OR (CMAKE_CROSSCOMPILING AND NOT CMAKE_CROSSCOMPILING_EMULATOR))
    return()
  endif()
  set(folder ${PROJECT_BINARY_DIR}/manual/${name})
  add_custom_command(TARGET ${name} POST_BUILD VERBATIM
    COMMAND ${CMAKE_COMMAND} -D "program=$<TARGET_FILE:${name}>" -D "emulator=${CMAKE_CROSSCOMPILING_EMULATOR}"
      -D "folder=${folder}" -P ${moderngpt2_write_manual})
  set(data ${CMAKE_INSTALL_DATAROOTDIR})
  foreach(pair "${name}.1|${CMAKE_INSTALL_MANDIR}/man1" "${name}|${data}/bash-completion/completions"
      "_${name}|${data}/zsh/site-functions" "${name}.fish|${data}/fish/vendor_completions.d")
    string(REPLACE "|" ";" pair ${pair})
    list(GET pair 0 file)
    list(GET pair 1 destination)
    install(FILES ${folder}/${file} DESTINATION ${destination} COMPONENT programs OPTIONAL)
  endforeach()
endfunction()
