#pragma once

#include <grpcpp/support/status.h>

#include "base/error.hpp"

namespace scistream::control {

/// The one place where causes and gRPC statuses meet.
grpc::Status to_grpc(const Error& error);
grpc::Status to_grpc(const Status& status);

/// UNKNOWN, with which deployed servers report every failure, becomes `failure`.
Error from_grpc(const grpc::Status& status);

}  // namespace scistream::control
