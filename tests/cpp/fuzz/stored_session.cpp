// What stands in a session store that somebody else may have written to.
#include "fuzz.hpp"
#include "session/stored_json.hpp"

using namespace scistream;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto session = session::stored_session(text_of(data, size));
  if (!session) return 0;
  require(check_uid(session->request.key.uid).ok());
  require(session->ports.size() == static_cast<std::size_t>(session->request.num_conn));
  const auto again = session::stored_session(to_json(*session));
  require(again.ok() && to_json(*again) == to_json(*session));
  return 0;
}
