#pragma once

#include <exception>
#include <new>

#include "base/error.hpp"

namespace scistream::sdk {

/// What `work` returns; what it throws, such as that the system has no thread or descriptor left,
/// is a failure: exceptions do not leave the library, but that memory has run out.
template <class Work>
auto guarded(Work work) -> decltype(work()) {
  try {
    return work();
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    return Error{Cause::failure, error.what()};
  }
}

}  // namespace scistream::sdk
