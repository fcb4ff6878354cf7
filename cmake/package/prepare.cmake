# cpack runs this after it has installed the files into a staging folder and before it packs them. For a Debian package,
# this compresses the manual pages and adds a compressed change log and the lintian overrides. For an archive, it adds
# to README.txt the system packages that the programs need.

file(GLOB_RECURSE files LIST_DIRECTORIES false ${CPACK_TEMPORARY_DIRECTORY}/*)

# Without name and time in the gzip header, equal input gives equal bytes.
function(compress file)
  execute_process(COMMAND gzip -9nf ${file} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

if(CPACK_GENERATOR STREQUAL "DEB")
  foreach(file IN LISTS files)
    if(file MATCHES "/share/man/man[1-9]/[^/]*[.][1-9]$")
      compress(${file})
    elseif(file MATCHES "/share/doc/([^/]+)/copyright$")
      cmake_path(GET file PARENT_PATH folder)
      string(TIMESTAMP date "%a, %d %b %Y %H:%M:%S +0000" UTC)
      file(WRITE ${folder}/changelog "${CMAKE_MATCH_1} (${CPACK_PACKAGE_VERSION}) unstable; urgency=medium\n\n"
        "  * Version ${CPACK_PACKAGE_VERSION}; see CHANGELOG.md of the source.\n\n"
        " -- ${CPACK_DEBIAN_PACKAGE_MAINTAINER}  ${date}\n")
      compress(${folder}/changelog)
    elseif(file MATCHES "(.*/usr)/lib/moderngpt2/libarrow[.]so")
      file(COPY ${CMAKE_CURRENT_LIST_DIR}/lintian-overrides DESTINATION ${CMAKE_MATCH_1}/share/lintian/overrides)
      file(RENAME ${CMAKE_MATCH_1}/share/lintian/overrides/lintian-overrides
        ${CMAKE_MATCH_1}/share/lintian/overrides/moderngpt2)
    endif()
  endforeach()
  return()
endif()

# The system packages that own the shared libraries of the programs.
set(programs ${files})
list(FILTER programs INCLUDE REGEX "/bin/[^/]*$")
if(NOT programs)
  return()
endif()
execute_process(COMMAND ldd ${programs} OUTPUT_VARIABLE libraries COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "=> /[^ ]+" libraries "${libraries}")
list(TRANSFORM libraries REPLACE "^=> " "")
list(REMOVE_DUPLICATES libraries)
list(FILTER libraries EXCLUDE REGEX "/lib/moderngpt2/|/moderngpt2/lib(arrow|parquet)[.]")
set(packages)
set(unknown)
foreach(library IN LISTS libraries)
  file(REAL_PATH ${library} library)
  cmake_path(GET library FILENAME name)
  set(status 1)
  foreach(path ${library} /usr${library})  # dpkg may list a library under /lib, which is a link to /usr/lib
    string(REGEX REPLACE "^/usr/usr/" "/" path ${path})
    if(NOT status EQUAL 0)
      execute_process(COMMAND dpkg-query -S ${path} OUTPUT_VARIABLE owner RESULT_VARIABLE status ERROR_QUIET)
    endif()
  endforeach()
  if(status EQUAL 0 AND owner MATCHES "^([a-z0-9.+-]+)")
    list(APPEND packages ${CMAKE_MATCH_1})
  else()
    list(APPEND unknown ${name})
  endif()
endforeach()
list(REMOVE_DUPLICATES packages)
list(SORT packages)
list(JOIN packages " " packages)
set(system "the system on which this archive was made")
if(EXISTS /etc/os-release)
  file(STRINGS /etc/os-release line REGEX "^PRETTY_NAME=")
  string(REGEX REPLACE "^PRETTY_NAME=\"?([^\"]*)\"?$" "\\1" system "${line}")
endif()
set(needs)
if(packages)
  string(APPEND needs "    apt-get install --no-install-recommends ${packages}\n")
endif()
if(unknown)
  list(JOIN unknown ", " unknown)
  string(APPEND needs "Shared libraries that belong to no package: ${unknown}\n")
endif()
list(FILTER files INCLUDE REGEX "/share/doc/moderngpt2/README[.]txt$")
file(APPEND ${files} "
System packages
---------------
All other shared libraries come from the system. On ${system}, install them as root:

${needs}")
