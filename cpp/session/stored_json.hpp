#pragma once

#include <string>
#include <string_view>

#include "session/store.hpp"

namespace scistream::session {

/// A stored session as one JSON document. Fields that a reader does not know are ignored, so that a
/// file outlives an upgrade and a downgrade.
std::string to_json(const StoredSession& session);

/// `failure` says what is wrong with the document.
Result<StoredSession> stored_session(std::string_view json);

}  // namespace scistream::session
