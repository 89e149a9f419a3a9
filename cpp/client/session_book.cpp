#include "client/session_book.hpp"

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <tuple>
#include <utility>

#include "base/file.hpp"
#include "scistream/session_key.hpp"

namespace scistream::client {

namespace {

Result<BookEntry> parse(const std::string& text) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) return Error{Cause::failure, "not a session file"};
  BookEntry entry;
  try {
    entry.uid = json.value("uid", "");
    entry.prod = json.value("prod", "");
    entry.cons = json.value("cons", "");
    // Another program may have written it.
    const auto number = [&json](const char* name, std::int64_t otherwise, std::int64_t most) {
      const auto value = json.value(name, nlohmann::json());
      if (!value.is_number_integer()) return otherwise;
      return std::clamp<std::int64_t>(value.get<std::int64_t>(), 0, most);
    };
    constexpr std::int64_t year_9999 = 253'370'764'800;  // its first day: what calendars can show
    entry.created = number("created", 0, year_9999);
    entry.nanoseconds = number("nanoseconds", 0, 999'999'999);
    entry.asked = number("asked", entry.created, year_9999);
  } catch (const nlohmann::json::exception&) {
    return Error{Cause::failure, "not a session file"};
  }
  return entry;
}

}  // namespace

BookEntry BookEntry::of_now(std::string uid) {
  const std::chrono::nanoseconds now = std::chrono::system_clock::now().time_since_epoch();
  const auto whole = std::chrono::floor<std::chrono::seconds>(now);
  return {std::move(uid), "", "", whole.count(), (now - whole).count(), whole.count()};
}

Result<std::vector<Endpoint>> BookEntry::servers() const {
  std::vector<Endpoint> servers;
  for (const std::string& text : {prod, cons}) {
    if (text.empty()) continue;  // only the other half was requested from here
    const auto endpoint = parse_endpoint(text);
    if (!endpoint) return endpoint.error();
    if (std::find(servers.begin(), servers.end(), *endpoint) == servers.end())
      servers.push_back(*endpoint);
  }
  return servers;
}

SessionBook::SessionBook(const std::filesystem::path& state_directory)
    : directory_(state_directory / "sessions") {}

std::filesystem::path SessionBook::path_of(const std::string& uid) const {
  return directory_ / (uid + ".json");
}

namespace {

std::string text_of(const BookEntry& entry) {
  const nlohmann::json json{{"uid", entry.uid},     {"prod", entry.prod},
                            {"cons", entry.cons},   {"created", entry.created},
                            {"asked", entry.asked}, {"nanoseconds", entry.nanoseconds}};
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace

Result<bool> SessionBook::claim(const BookEntry& entry) const {
  if (auto status = check_uid(entry.uid); !status) return status.error();
  if (auto status = make_private_directory(directory_); !status) return status.error();
  const Status created = create_private_file(path_of(entry.uid), text_of(entry));
  if (!created && created.error().cause != Cause::already_exists) return created.error();
  return created.ok();
}

Status SessionBook::remember(const BookEntry& entry) const {
  if (auto status = check_uid(entry.uid); !status) return status;
  if (auto status = make_private_directory(directory_); !status) return status;
  return write_private_file(path_of(entry.uid), text_of(entry));
}

void SessionBook::touch(const std::string& uid) const {
  auto entry = find(uid);
  if (!entry || entry->uid != uid) return;
  entry->asked = BookEntry::of_now(uid).asked;
  (void)remember(*entry);
}

Result<BookEntry> SessionBook::find(const std::string& uid) const {
  if (auto status = check_uid(uid); !status) return status.error();
  const auto text = read_file(path_of(uid));
  if (text) return parse(*text);
  return Error{Cause::not_found,
               "session " + uid +
                   " was not requested from here; say where it lives with --prod and --cons, "
                   "or --s2cs"};
}

std::vector<BookEntry> SessionBook::all() const {
  std::vector<BookEntry> entries;
  std::error_code error;
  for (const auto& file : std::filesystem::directory_iterator(directory_, error)) {
    if (file.path().extension() != ".json" || !file.is_regular_file(error)) continue;
    const auto text = read_file(file.path());
    auto entry = text ? parse(*text) : Result<BookEntry>(text.error());
    // A copy under another name is no session's.
    if (!entry || !check_uid(entry->uid) || file.path().stem() != entry->uid) continue;
    entries.push_back(std::move(*entry));
  }
  std::sort(entries.begin(), entries.end(), [](const BookEntry& a, const BookEntry& b) {
    return std::tie(a.created, a.nanoseconds, a.uid) < std::tie(b.created, b.nanoseconds, b.uid);
  });
  return entries;
}

void SessionBook::forget(const std::string& uid) const {
  std::error_code ignored;
  if (check_uid(uid)) std::filesystem::remove(path_of(uid), ignored);
}

}  // namespace scistream::client
