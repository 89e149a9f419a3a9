#pragma once

#include <pybind11/pybind11.h>

/// One function a file: each adds its names to `scistream._core`. What they add is private to the
/// package; the public face, with its documentation, is python/scistream.
namespace scistream::bindings {

void bind_control_server(pybind11::module_& module);
void bind_session(pybind11::module_& module);
void bind_user_client(pybind11::module_& module);
void bind_app_controller(pybind11::module_& module);
void bind_relay(pybind11::module_& module);
void bind_logs(pybind11::module_& module);
void bind_policy(pybind11::module_& module);

}  // namespace scistream::bindings
