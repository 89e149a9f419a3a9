#pragma once

namespace scistream::control {

/// Keeps gRPC from writing to stderr of a process that is not ours alone, unless `GRPC_VERBOSITY`
/// says what it should write: what matters of it is in our own errors. Before the first use.
void keep_grpc_quiet();

}  // namespace scistream::control
