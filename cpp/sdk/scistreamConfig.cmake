# find_package(scistream): the targets scistream::core and scistream::client.
include(${CMAKE_CURRENT_LIST_DIR}/scistreamTargets.cmake)
