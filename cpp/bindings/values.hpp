#pragma once

#include <pybind11/pybind11.h>

#include <chrono>
#include <vector>

#include "client/user_client.hpp"
#include "relay/relay.hpp"

/// C++ values as those of `scistream._values`. All need the GIL.
namespace scistream::bindings {

pybind11::object to_python(const dataserver::ConnectionStatus& connection);
pybind11::object to_python(const session::SessionView& view);
/// A tuple of them.
pybind11::tuple to_python(const std::vector<session::SessionView>& views);
pybind11::object to_python(const session::SessionEvent& event);
pybind11::tuple to_python(const client::SessionList& list);
pybind11::object to_python(const control::ServerInfo& info);
pybind11::object to_python(const relay::Snapshot& snapshot);
pybind11::object to_python(const std::vector<client::StateChange>& states);

template <class Duration>
double milliseconds_of(Duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}
template <class Duration>
double seconds_of(Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace scistream::bindings
