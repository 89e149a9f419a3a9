#pragma once

namespace scistream::net {

/// For std::unique_ptr: gives what belongs to OpenSSL back by the function that it wants.
template <auto free_function>
struct OpensslFree {
  template <class T>
  void operator()(T* pointer) const {
    free_function(pointer);
  }
};

}  // namespace scistream::net
