#include "control/grpc_log.hpp"

#include <grpc/support/log.h>

#include <cstdlib>

namespace scistream::control {

void keep_grpc_quiet() {
  if (std::getenv("GRPC_VERBOSITY") == nullptr) gpr_set_log_function([](gpr_log_func_args*) {});
}

}  // namespace scistream::control
