#pragma once

#include <string_view>

#include "base/error.hpp"
#include "scistream/endpoint.hpp"

namespace scistream {

/// A decimal number within [low, high]; the error names `what`, the text and the bounds.
Result<long long> parse_number(std::string_view what, std::string_view text, long long low,
                               long long high);

/// True for 127.0.0.0/8, ::1 and `localhost`; other names are not resolved.
bool is_loopback(std::string_view host);

/// True for 0.0.0.0, :: and the empty host.
bool is_wildcard(std::string_view host);

}  // namespace scistream
