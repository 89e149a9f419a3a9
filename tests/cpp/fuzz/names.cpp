// Session ids and roles: what passes is safe in file names, logs and messages.
#include "fuzz.hpp"
#include "scistream/session_key.hpp"

using namespace scistream;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = text_of(data, size);
  if (check_uid(text)) {
    require(!text.empty() && text.size() <= 128);
    require(text.find('/') == std::string_view::npos && text.find('\0') == std::string_view::npos &&
            text.find('\n') == std::string_view::npos);
  }
  if (const auto role = parse_role(text)) require(parse_role(to_string(*role)).ok());
  return 0;
}
