#include "control/status_map.hpp"

#include <gtest/gtest.h>

namespace scistream::control {
namespace {

// Protocol: causes-on-the-wire
TEST(StatusMap, EveryCauseCrossesTheWireAndBack) {
  for (const Cause cause :
       {Cause::failure, Cause::invalid_argument, Cause::unauthenticated, Cause::permission_denied,
        Cause::unavailable, Cause::timeout, Cause::not_found, Cause::exhausted,
        Cause::already_exists, Cause::failed_precondition, Cause::cancelled}) {
    const Error back = from_grpc(to_grpc(Error{cause, "why"}));
    EXPECT_EQ(back.cause, cause) << to_string(cause);
    EXPECT_EQ(back.message, "why");
  }
  EXPECT_TRUE(to_grpc(Status()).ok());
}

// Protocol: unknown-is-failure
TEST(StatusMap, WhatADeployedServerSaysOfAnyFailureIsAFailure) {
  const Error error = from_grpc({grpc::StatusCode::UNKNOWN, "Exception calling application: x"});
  EXPECT_EQ(error.cause, Cause::failure);
  EXPECT_EQ(error.message, "Exception calling application: x");
}

}  // namespace
}  // namespace scistream::control
