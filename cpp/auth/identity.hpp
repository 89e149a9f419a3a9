#pragma once

#include "scistream/identity.hpp"

namespace scistream::auth {

using scistream::Identity;

}  // namespace scistream::auth
