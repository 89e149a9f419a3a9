#include "cli/req_file.hpp"

#include <nlohmann/json.hpp>

#include "dataserver/data_server.hpp"
#include "session/types.hpp"

namespace scistream::cli {

namespace {

using nlohmann::json;

Error invalid(std::string message) { return {Cause::invalid_argument, std::move(message)}; }

std::string dumped(const json& value) {
  return value.dump(-1, ' ', true, json::error_handler_t::replace).substr(0, 80);
}

Result<std::optional<std::string>> text_of(const json& document, const char* member) {
  if (!document.contains(member)) return std::optional<std::string>();
  const json& value = document.at(member);
  if (value.is_string()) return std::optional(value.get<std::string>());
  return invalid(std::string(member) + " " + dumped(value) + " is not a text in quotes");
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
  return invalid(std::string(member) + " " + dumped(value) + " is not a whole number from " +
                 std::to_string(low) + " to " + std::to_string(high));
}

}  // namespace

Result<ReqFile> parse_req_file(std::string_view text) {
  const json document = json::parse(text, nullptr, false);
  if (!document.is_object()) return invalid("not a JSON object");
  ReqFile file;
  std::optional<std::string> command;
  for (const auto& [member, value] : {std::pair{"cmd", &command},
                                      {"uid", &file.uid},
                                      {"prod", &file.prod},
                                      {"cons", &file.cons},
                                      {"prod_app", &file.prod_app},
                                      {"transport", &file.transport}}) {
    auto text = text_of(document, member);
    if (!text) return text.error();
    *value = std::move(*text);
  }
  if (command != "REQ" && command != "REL")
    return invalid("cmd '" + command.value_or("") + "' is neither REQ nor REL");
  file.release = command == "REL";
  if (file.release && !file.uid) return invalid("REL without a uid");
  const auto num_conn = number_of(document, "num_conn", 1, dataserver::max_num_conn);
  if (!num_conn) return num_conn.error();
  if (*num_conn) file.num_conn = static_cast<int>(**num_conn);
  const auto rate = number_of(document, "rate", 0, session::max_rate_mbps);
  if (!rate) return rate.error();
  file.rate_mbps = *rate;
  return file;
}

}  // namespace scistream::cli
