# The libraries of others that end up in what we ship, as targets that choose how they are linked:
# scistream_rpc (gRPC with Protobuf), scistream_tls (OpenSSL), scistream_store (SQLite),
# scistream_log (spdlog).
#
# With SCISTREAM_BUNDLE, for wheels, executables have all of them inside, so that they run where
# none of them is installed; libc stays dynamic. The Python module goes on linking them dynamically
# (Debian's static ones are not position-independent), and auditwheel puts them beside it.
option(SCISTREAM_BUNDLE "Executables that need no library but those of every Linux" OFF)

foreach(name rpc tls store log)
  add_library(scistream_${name} INTERFACE)
endforeach()

if(NOT SCISTREAM_BUNDLE)
  target_link_libraries(scistream_rpc INTERFACE gRPC::grpc++ protobuf::libprotobuf)
  target_link_libraries(scistream_tls INTERFACE OpenSSL::SSL OpenSSL::Crypto)
  target_link_libraries(scistream_store INTERFACE SQLite::SQLite3)
  target_link_libraries(scistream_log INTERFACE spdlog::spdlog)
  return()
endif()

# What a module of pkg-config needs, of archives where there are any.
function(scistream_bundled target shared)
  set(inside)
  foreach(module IN LISTS ARGN)
    pkg_check_modules(found_${module} REQUIRED ${module})
    foreach(library IN LISTS found_${module}_STATIC_LIBRARIES)
      unset(archive)
      find_library(archive NAMES lib${library}.a NO_CACHE)
      # Of these every Linux has the one it needs.
      if(archive AND NOT library MATCHES "^(dl|m|pthread|rt)$")
        list(APPEND inside ${archive})
      endif()
    endforeach()
  endforeach()
  list(REMOVE_DUPLICATES inside)
  set_property(GLOBAL APPEND PROPERTY scistream_bundled ${inside})
  set(is_executable "$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>")
  list(JOIN inside "," inside)
  target_link_libraries(${target} INTERFACE
    "$<${is_executable}:$<LINK_GROUP:RESCAN,${inside}>>"
    "$<$<NOT:${is_executable}>:${shared}>")
endfunction()

find_package(PkgConfig REQUIRED)
scistream_bundled(scistream_rpc "gRPC::grpc++;protobuf::libprotobuf" grpc++ protobuf)
scistream_bundled(scistream_tls "OpenSSL::SSL;OpenSSL::Crypto" libssl libcrypto)
scistream_bundled(scistream_store "SQLite::SQLite3" sqlite3)
# It has no archive, but is whole in its headers, as is what it formats with.
find_package(fmt REQUIRED)
target_link_libraries(scistream_log INTERFACE fmt::fmt-header-only)
target_compile_definitions(scistream_log INTERFACE SPDLOG_FMT_EXTERNAL)
# And these are compiled in.
foreach(header spdlog/spdlog.h fmt/format.h boost/asio.hpp CLI/CLI.hpp nlohmann/json.hpp)
  find_file(path ${header} REQUIRED NO_CACHE)
  set_property(GLOBAL APPEND PROPERTY scistream_bundled ${path})
  unset(path)
endforeach()
