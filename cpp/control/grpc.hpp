#pragma once

// Everything of gRPC and of the generated code that this layer uses; precompiled.
#include <grpcpp/grpcpp.h>

#include "scistream/control.grpc.pb.h"
#include "scistream/dataserver.grpc.pb.h"
