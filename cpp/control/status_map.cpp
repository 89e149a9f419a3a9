#include "control/status_map.hpp"

namespace scistream::control {

namespace {

grpc::StatusCode code_of(Cause cause) {
  switch (cause) {
    case Cause::failure: return grpc::StatusCode::INTERNAL;
    case Cause::invalid_argument: return grpc::StatusCode::INVALID_ARGUMENT;
    case Cause::unauthenticated: return grpc::StatusCode::UNAUTHENTICATED;
    case Cause::permission_denied: return grpc::StatusCode::PERMISSION_DENIED;
    case Cause::unavailable: return grpc::StatusCode::UNAVAILABLE;
    case Cause::timeout: return grpc::StatusCode::DEADLINE_EXCEEDED;
    case Cause::not_found: return grpc::StatusCode::NOT_FOUND;
    case Cause::already_exists: return grpc::StatusCode::ALREADY_EXISTS;
    case Cause::exhausted: return grpc::StatusCode::RESOURCE_EXHAUSTED;
    case Cause::failed_precondition: return grpc::StatusCode::FAILED_PRECONDITION;
    case Cause::cancelled: return grpc::StatusCode::CANCELLED;
  }
  return grpc::StatusCode::INTERNAL;
}

Cause cause_of(grpc::StatusCode code) {
  switch (code) {
    case grpc::StatusCode::INVALID_ARGUMENT:
    case grpc::StatusCode::OUT_OF_RANGE: return Cause::invalid_argument;
    case grpc::StatusCode::UNAUTHENTICATED: return Cause::unauthenticated;
    case grpc::StatusCode::PERMISSION_DENIED: return Cause::permission_denied;
    case grpc::StatusCode::UNAVAILABLE: return Cause::unavailable;
    case grpc::StatusCode::DEADLINE_EXCEEDED: return Cause::timeout;
    case grpc::StatusCode::NOT_FOUND: return Cause::not_found;
    case grpc::StatusCode::ALREADY_EXISTS: return Cause::already_exists;
    case grpc::StatusCode::RESOURCE_EXHAUSTED: return Cause::exhausted;
    case grpc::StatusCode::FAILED_PRECONDITION:
    case grpc::StatusCode::ABORTED:
    case grpc::StatusCode::UNIMPLEMENTED: return Cause::failed_precondition;
    case grpc::StatusCode::CANCELLED: return Cause::cancelled;
    default: return Cause::failure;
  }
}

}  // namespace

grpc::Status to_grpc(const Error& error) { return {code_of(error.cause), error.message}; }

grpc::Status to_grpc(const Status& status) {
  return status ? grpc::Status::OK : to_grpc(status.error());
}

Error from_grpc(const grpc::Status& status) {
  return {cause_of(status.error_code()), status.error_message()};
}

}  // namespace scistream::control
