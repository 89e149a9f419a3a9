#include "base/error.hpp"

#include <cerrno>
#include <system_error>

namespace scistream {

std::string_view v0::to_string(Cause cause) noexcept {
  switch (cause) {
    case Cause::failure: return "failure";
    case Cause::invalid_argument: return "invalid_argument";
    case Cause::unauthenticated: return "unauthenticated";
    case Cause::permission_denied: return "permission_denied";
    case Cause::unavailable: return "unavailable";
    case Cause::timeout: return "timeout";
    case Cause::not_found: return "not_found";
    case Cause::already_exists: return "already_exists";
    case Cause::exhausted: return "exhausted";
    case Cause::failed_precondition: return "failed_precondition";
    case Cause::cancelled: return "cancelled";
  }
  return "failure";
}

int v0::exit_code(Cause cause) noexcept {
  switch (cause) {
    case Cause::failure: return 1;
    case Cause::invalid_argument: return 2;
    case Cause::unauthenticated: return 3;
    case Cause::permission_denied: return 4;
    case Cause::unavailable: return 5;
    case Cause::timeout: return 6;
    case Cause::not_found: return 7;
    case Cause::exhausted: return 8;
    case Cause::already_exists: return 9;
    case Cause::failed_precondition: return 10;
    case Cause::cancelled: return 11;
  }
  return 1;
}

namespace {

Cause cause_of_errno(int errnum) noexcept {
  switch (errnum) {
    case EACCES:
    case EPERM: return Cause::permission_denied;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case ENOSPC: return Cause::exhausted;
    case ENOENT: return Cause::not_found;
    case EEXIST:
    case EADDRINUSE: return Cause::already_exists;
    case EINVAL:
    case EADDRNOTAVAIL: return Cause::invalid_argument;
    case ETIMEDOUT: return Cause::timeout;
    case ECONNREFUSED:
    case ECONNRESET:
    case ENETUNREACH:
    case EHOSTUNREACH:
    case EPIPE: return Cause::unavailable;
    default: return Cause::failure;
  }
}

}  // namespace

Error errno_error(std::string_view what, int errnum) {
  return {cause_of_errno(errnum),
          std::string(what) + ": " + std::generic_category().message(errnum)};
}

}  // namespace scistream
