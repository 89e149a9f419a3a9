#include <pybind11/pybind11.h>

#include <string>

#include "bindings/bindings.hpp"
#include "scistream/version.hpp"

/// The compiled half of the `scistream` package. Nothing here starts a thread or touches gRPC:
/// importing the package has no side effects.
PYBIND11_MODULE(_core, module) {
  using namespace scistream;  // NOLINT(google-build-using-namespace): a module, not a header
  module.doc() = "Compiled half of the scistream package; use scistream itself.";
  module.attr("__version__") = std::string(version());
  bindings::bind_control_server(module);
  bindings::bind_session(module);
  bindings::bind_user_client(module);
  bindings::bind_app_controller(module);
  bindings::bind_relay(module);
  bindings::bind_logs(module);
  bindings::bind_policy(module);
}
