#include "cli/req_file.hpp"

#include <nlohmann/json.hpp>

#include "dataserver/data_server.hpp"
#include "session/types.hpp"

namespace scistream::cli {

namespace {

using nlohmann::json;

Error invalid(std::string message) { return {Cause::invalid_argument, std::move(message)}; }

std::optional<std::string> text_of(const json& document, const char* member) {
  if (!document.contains(member)) return std::nullopt;
  return document.at(member).get<std::string>();
}

/// A whole number between the bounds.
Result<std::optional<long long>> number_of(const json& document, const char* member, long long low,
                                           long long high) {
  if (!document.contains(member)) return std::optional<long long>();
  const json& value = document.at(member);
  const bool whole =
      value.is_number_integer() && (!value.is_number_unsigned() ||
                                    value.get<std::uint64_t>() <= static_cast<std::uint64_t>(high));
  if (whole && value.get<std::int64_t>() >= low && value.get<std::int64_t>() <= high)
    return std::optional<long long>(value.get<std::int64_t>());
  return invalid(
      std::string(member) + " " + value.dump(-1, ' ', true, json::error_handler_t::replace) +
      " is not a whole number from " + std::to_string(low) + " to " + std::to_string(high));
}

}  // namespace

Result<ReqFile> parse_req_file(std::string_view text) {
  const json document = json::parse(text, nullptr, false);
  if (!document.is_object()) return invalid("not a JSON object");
  try {
    ReqFile file;
    const auto command = text_of(document, "cmd").value_or("");
    if (command != "REQ" && command != "REL")
      return invalid("cmd '" + command + "' is neither REQ nor REL");
    file.release = command == "REL";
    file.uid = text_of(document, "uid");
    if (file.release && !file.uid) return invalid("REL without a uid");
    file.prod = text_of(document, "prod");
    file.cons = text_of(document, "cons");
    file.prod_app = text_of(document, "prod_app");
    const auto num_conn = number_of(document, "num_conn", 1, dataserver::max_num_conn);
    if (!num_conn) return num_conn.error();
    if (*num_conn) file.num_conn = static_cast<int>(**num_conn);
    const auto rate = number_of(document, "rate", 0, session::max_rate_mbps);
    if (!rate) return rate.error();
    file.rate_mbps = *rate;
    return file;
  } catch (const json::exception& error) {
    return invalid(error.what());
  }
}

}  // namespace scistream::cli
