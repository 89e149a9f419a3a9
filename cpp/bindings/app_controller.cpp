#include "client/app_controller.hpp"

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include <memory>
#include <string>

#include "bindings/bindings.hpp"
#include "bindings/calls.hpp"
#include "bindings/client_options.hpp"
#include "bindings/errors.hpp"
#include "bindings/pending.hpp"
#include "bindings/process.hpp"

namespace py = pybind11;

namespace scistream::bindings {

namespace {

/// The C++ controller, until closed. Owns it; any thread.
class Controller {
 public:
  Controller(client::ClientOptions options, Endpoint server)
      : controller_(
            std::make_unique<client::AppController>(std::move(options), std::move(server))) {}

  session::HelloAnswer hello(client::AppHello hello) {
    const auto interrupt = std::make_shared<client::Interrupt>();
    const std::string uid = hello.uid;
    const auto work = [this, interrupt, hello = std::move(hello)] {
      return controller_->hello(hello, interrupt.get());
    };
    return blocking<session::HelloAnswer>(calls_, work, {[interrupt] { interrupt->trigger(); }, {}},
                                          uid);
  }
  std::unique_ptr<Pending> begin_hello(client::AppHello hello) {
    const std::string uid = hello.uid;
    const auto work = [this, hello = std::move(hello)](client::Interrupt& interrupt) {
      return controller_->hello(hello, &interrupt);
    };
    return begin<session::HelloAnswer>(
        calls_, work,
        [](const session::HelloAnswer& answer) -> py::object { return py::cast(answer.listeners); },
        uid);
  }

  void close() {
    close_and_wait(calls_, [this] { controller_.reset(); });
  }

 private:
  std::unique_ptr<client::AppController> controller_;
  Calls calls_;
};

class AppControllerHandle {
 public:
  AppControllerHandle(const std::string& s2cs, std::string uid, const std::string& role,
                      const std::vector<std::string>& listeners, const py::object& key,
                      client::ClientOptions options)
      : controller_(
            std::make_shared<Controller>(std::move(options), endpoint_argument("s2cs", s2cs))) {
    hello_.uid = std::move(uid);
    value_or_raise(check_uid(hello_.uid));
    hello_.role = value_or_raise(parse_role(role));
    hello_.listeners = endpoint_arguments("listeners", listeners);
    if (hello_.role == Role::producer && hello_.listeners.empty()) {
      raise({Cause::invalid_argument,
             "listeners: a producer says where its application listens, host:port"});
    }
    hello_.key = key_argument("key", key);
  }

  [[nodiscard]] std::vector<std::string> hello(bool wait_ready, double patience,
                                               double timeout) const {
    return controller_->hello(wish(wait_ready, patience, timeout)).listeners;
  }
  [[nodiscard]] std::unique_ptr<Pending> begin_hello(bool wait_ready, double patience,
                                                     double timeout) const {
    return controller_->begin_hello(wish(wait_ready, patience, timeout));
  }

  void close() {
    if (!controller_.left()) controller_->close();
  }

 private:
  [[nodiscard]] client::AppHello wish(bool wait_ready, double patience, double timeout) const {
    client::AppHello hello = hello_;
    hello.wait_ready = wait_ready;
    hello.patience = seconds_argument("patience", patience);
    hello.timeout = seconds_argument("timeout", timeout);
    return hello;
  }

  Owned<Controller> controller_;
  client::AppHello hello_;
};

}  // namespace

void bind_app_controller(py::module_& module) {
  py::class_<AppControllerHandle>(module, "AppController",
                                  py::release_gil_before_calling_cpp_dtor())
      .def(py::init([](const std::string& uid, const std::string& s2cs, const std::string& role,
                       const std::vector<std::string>& listeners, const py::object& key, bool tls,
                       std::string roots, const std::filesystem::path& server_cert,
                       std::string token, std::filesystem::path state_dir,
                       std::filesystem::path client_cert, std::filesystem::path client_key) {
             about_to_use_grpc();
             auto options = client_options(tls, std::move(roots), server_cert, std::move(token),
                                           std::move(state_dir), std::move(client_cert),
                                           std::move(client_key));
             return std::make_unique<AppControllerHandle>(s2cs, uid, role, listeners, key,
                                                          std::move(options));
           }),
           py::arg("uid"), py::arg("s2cs"), py::kw_only(), py::arg("role"), py::arg("listeners"),
           py::arg("key"), py::arg("tls"), py::arg("roots"), py::arg("server_cert"),
           py::arg("token"), py::arg("state_dir"), py::arg("client_cert"), py::arg("client_key"))
      .def("hello", &AppControllerHandle::hello, py::kw_only(), py::arg("wait_ready"),
           py::arg("patience"), py::arg("timeout"))
      .def("begin_hello", &AppControllerHandle::begin_hello, py::kw_only(), py::arg("wait_ready"),
           py::arg("patience"), py::arg("timeout"))
      .def("close", &AppControllerHandle::close);
}

}  // namespace scistream::bindings
