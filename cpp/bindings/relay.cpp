#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bindings/bindings.hpp"
#include "bindings/calls.hpp"
#include "bindings/errors.hpp"
#include "bindings/logs.hpp"
#include "bindings/process.hpp"
#include "bindings/values.hpp"
#include "relay/own_relay.hpp"

namespace py = pybind11;

namespace scistream::bindings {

namespace {

/// What the calls and the handle share.
struct OpenRelay {
  std::unique_ptr<relay::OwnRelay> relay;
  Calls calls;
};

class RelayHandle {
 public:
  RelayHandle(const std::vector<std::pair<std::string, std::string>>& pairs, std::size_t threads)
      : relay_(std::make_shared<OpenRelay>()) {
    std::vector<relay::Pair> parsed;
    parsed.reserve(pairs.size());
    for (const auto& [listener, target] : pairs) {
      parsed.push_back({endpoint_argument("listener", listener, ZeroPort::allowed),
                        endpoint_argument("target", target)});
    }
    const auto work = [open = &*relay_, parsed = std::move(parsed), threads]() -> Status {
      auto made = relay::OwnRelay::open(parsed, threads, python_logger());
      if (!made) return made.error();
      open->relay = std::move(*made);
      return {};
    };
    blocking<void>(relay_->calls, work);
  }

  void close(double drain) {
    if (relay_.left()) return;
    const auto limit = seconds_argument("drain", drain);
    const auto hurry = [open = &*relay_] { open->relay->hurry(); };
    // Whoever closes it at once does not wait for one who drains.
    if (limit.count() == 0) hurry();
    close_and_wait(relay_->calls, [open = &*relay_, limit] { open->relay->close(limit); }, hurry);
  }
  [[nodiscard]] std::vector<std::string> listeners() const {
    return to_strings(relay_->relay->listeners());
  }
  /// For repr.
  [[nodiscard]] std::string description() const {
    if (relay_.left()) return "of another process";
    std::string text;
    for (const std::string& each : listeners()) text += (text.empty() ? "" : " ") + each;
    return text;
  }
  [[nodiscard]] py::object stats() const {
    const relay::OwnRelay& relay = *relay_->relay;
    relay::Snapshot now;
    {
      const py::gil_scoped_release released;
      now = relay.snapshot();
    }
    return to_python(now);
  }

 private:
  Owned<OpenRelay> relay_;
};

}  // namespace

void bind_relay(py::module_& module) {
  py::class_<RelayHandle>(module, "Relay", py::release_gil_before_calling_cpp_dtor())
      .def(py::init<const std::vector<std::pair<std::string, std::string>>&, std::size_t>(),
           py::arg("pairs"), py::arg("threads"))
      .def("close", &RelayHandle::close, py::arg("drain"))
      .def("stats", &RelayHandle::stats)
      .def_property_readonly("description", &RelayHandle::description)
      .def_property_readonly("listeners", &RelayHandle::listeners);
}

}  // namespace scistream::bindings
