#include "relay/relay.hpp"

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "bindings/bindings.hpp"
#include "bindings/calls.hpp"
#include "bindings/errors.hpp"
#include "bindings/logs.hpp"
#include "bindings/process.hpp"
#include "bindings/values.hpp"

namespace py = pybind11;

namespace scistream::bindings {

namespace {

using std::chrono::milliseconds;

/// A relay and the threads it runs on. Owns both; any thread.
class OwnRelay {
 public:
  void open(std::vector<relay::Pair> pairs, std::size_t threads) {
    if (threads == 0) threads = std::thread::hardware_concurrency();
    const auto work = [this, pairs = std::move(pairs), threads]() -> Status {
      const std::lock_guard lock(mutex_);
      threads_ = std::make_unique<net::IoThreads>(threads);
      auto relay = relay::Relay::open(*threads_, pairs, {}, python_logger());
      if (!relay) return relay.error();
      relay_ = std::move(*relay);
      listeners_ = to_strings(relay_->listeners());
      return {};
    };
    blocking<void>(calls_, work);
  }

  void close(milliseconds drain) {
    close_and_wait(calls_, [this, drain] { end(drain); });
  }

  [[nodiscard]] const std::vector<std::string>& listeners() const { return listeners_; }

  [[nodiscard]] relay::Snapshot stats() const {
    const py::gil_scoped_release released;
    const std::lock_guard lock(mutex_);
    return relay_ ? relay_->snapshot() : last_;
  }

 private:
  void end(milliseconds drain) {
    if (!relay_) return;
    const auto drained = std::make_shared<std::promise<void>>();
    auto gone = drained->get_future();
    if (drain.count() > 0) {
      relay_->drain([drained] { drained->set_value(); });
      if (gone.wait_for(drain) == std::future_status::ready) return forget();
    }
    const auto cut = std::make_shared<std::promise<void>>();
    relay_->cut([cut] { cut->set_value(); });
    cut->get_future().wait();
    forget();
  }

  void forget() {
    const std::lock_guard lock(mutex_);
    last_ = relay_->snapshot();
    relay_.reset();
    threads_.reset();
  }

  mutable std::mutex mutex_;  ///< Of the pointers; `open` and `end` are calls one after the other.
  std::unique_ptr<net::IoThreads> threads_;
  std::unique_ptr<relay::Relay> relay_;
  std::vector<std::string> listeners_;
  relay::Snapshot last_;
  Calls calls_;
};

class RelayHandle {
 public:
  RelayHandle(const std::vector<std::pair<std::string, std::string>>& pairs, std::size_t threads)
      : relay_(std::make_shared<OwnRelay>()) {
    std::vector<relay::Pair> parsed;
    parsed.reserve(pairs.size());
    for (const auto& [listener, target] : pairs) {
      parsed.push_back({endpoint_argument("listener", listener, ZeroPort::allowed),
                        endpoint_argument("target", target)});
    }
    if (parsed.empty()) raise({Cause::invalid_argument, "a relay needs a listener and a target"});
    relay_->open(std::move(parsed), threads);
  }

  void close(double drain) {
    if (!relay_.left()) relay_->close(seconds_argument("drain", drain));
  }
  [[nodiscard]] std::vector<std::string> listeners() const { return relay_->listeners(); }
  /// For repr.
  [[nodiscard]] std::string description() const {
    if (relay_.left()) return "of another process";
    std::string text;
    for (const std::string& each : relay_->listeners()) text += (text.empty() ? "" : " ") + each;
    return text;
  }
  [[nodiscard]] py::object stats() const { return to_python(relay_->stats()); }

 private:
  Owned<OwnRelay> relay_;
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
