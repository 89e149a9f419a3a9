#include <pybind11/pybind11.h>

#include <string>

#include "base/version.hpp"

/// The compiled half of the `scistream` package. Nothing here starts a thread or touches gRPC:
/// importing the package has no side effects.
PYBIND11_MODULE(_core, module) {
  module.doc() = "Compiled half of the scistream package; use scistream itself.";
  module.attr("__version__") = std::string(scistream::version());
}
