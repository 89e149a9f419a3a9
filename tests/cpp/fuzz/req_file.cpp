// What stands in a --req-file.
#include "cli/req_file.hpp"

#include "dataserver/data_server.hpp"
#include "fuzz.hpp"

using namespace scistream;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto file = cli::parse_req_file(text_of(data, size));
  if (!file) {
    require(file.error().cause == Cause::invalid_argument && !file.error().message.empty());
    return 0;
  }
  require(!file->release || file->uid.has_value());
  require(!file->num_conn || (*file->num_conn >= 1 && *file->num_conn <= dataserver::max_num_conn));
  return 0;
}
