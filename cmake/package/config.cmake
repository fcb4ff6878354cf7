# cpack reads this once for each generator (DEB, TGZ), before it makes packages.

if(CPACK_GENERATOR STREQUAL "DEB")
  find_program(dpkg_shlibdeps dpkg-shlibdeps)
  if(NOT dpkg_shlibdeps)
    message(FATAL_ERROR "cpack: a .deb needs dpkg-shlibdeps to find the packages that the programs depend on: run "
      "apt-get install dpkg-dev, or make only archives with cpack -G TGZ")
  endif()
  set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "")  # the summary is the first line of each component's description
else()
  set(CPACK_COMPONENT_INCLUDE_TOPLEVEL_DIRECTORY ON)
endif()
if(CPACK_MODERNGPT2_ARCH STREQUAL "native")
  message(WARNING "cpack: programs built with MODERNGPT2_ARCH=native run only on processors like this one: configure "
    "with --preset package, or with -DMODERNGPT2_ARCH=x86-64-v3")
endif()
