# What a wheel brings of others is theirs: their licences go into it, by the name of the Debian
# package that each file is of. Included where SCISTREAM_BUNDLE is on.

# Adds the licences of the packages of these files to what is installed.
function(scistream_install_licenses folder)
  foreach(file IN LISTS ARGN)
    file(REAL_PATH ${file} path)
    # Debian knows a file by the path by which it was installed, which may lie behind a link.
    foreach(name IN ITEMS ${path} ${file})
      execute_process(COMMAND dpkg-query --search ${name}
        OUTPUT_VARIABLE found ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
      if(found)
        break()
      endif()
    endforeach()
    if(NOT found)
      message(FATAL_ERROR "which package is '${file}' of? Its licence belongs into the wheel")
    endif()
    string(REGEX REPLACE "[:,].*" "" package "${found}")
    list(APPEND packages ${package})
  endforeach()
  list(REMOVE_DUPLICATES packages)
  foreach(package IN LISTS packages)
    install(FILES /usr/share/doc/${package}/copyright DESTINATION ${folder} RENAME ${package}.txt
      COMPONENT python)
  endforeach()
endfunction()

# The same for pybind11, which is a Python package.
function(scistream_install_pybind11_license folder)
  file(GLOB texts ${pybind11_DIR}/../../../../pybind11-*.dist-info/licenses/LICENSE
    ${pybind11_DIR}/../../../../pybind11-*.dist-info/LICENSE)
  if(NOT texts)
    message(FATAL_ERROR "where is the licence of pybind11, beside '${pybind11_DIR}'?")
  endif()
  list(GET texts 0 text)
  install(FILES ${text} DESTINATION ${folder} RENAME pybind11.txt COMPONENT python)
endfunction()
