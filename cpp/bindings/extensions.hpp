#pragma once

#include <pybind11/pybind11.h>

#include <memory>

#include "scistream/authenticator.hpp"
#include "scistream/data_server.hpp"

namespace scistream::bindings {

/// The data server and the authenticator that Python code is: objects of `scistream._extend`, which
/// are called with the GIL on whatever thread asks, and never on one that has other things to do.
/// What they raise becomes an error with the cause of its exception. None is none.
std::shared_ptr<v0::DataServer> data_server_of(const pybind11::object& object);
std::shared_ptr<v0::Authenticator> authenticator_of(const pybind11::object& object);

}  // namespace scistream::bindings
