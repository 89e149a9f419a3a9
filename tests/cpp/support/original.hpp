#pragma once

#include <dlfcn.h>

/// The function of this name that a preloaded library stands in front of.
template <class Function>
Function* original(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}
