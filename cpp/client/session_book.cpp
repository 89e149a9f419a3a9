#include "client/session_book.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <tuple>

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
    const auto created = json.value("created", nlohmann::json(0));
    // Another program may have written it.
    constexpr std::int64_t year_9999 = 253'370'764'800;  // its first day: what calendars can show
    if (created.is_number_integer())
      entry.created = std::clamp<std::int64_t>(created.get<std::int64_t>(), 0, year_9999);
  } catch (const nlohmann::json::exception&) {
    return Error{Cause::failure, "not a session file"};
  }
  return entry;
}

}  // namespace

SessionBook::SessionBook(const std::filesystem::path& state_directory)
    : directory_(state_directory / "sessions") {}

std::filesystem::path SessionBook::path_of(const std::string& uid) const {
  return directory_ / (uid + ".json");
}

namespace {

std::string text_of(const BookEntry& entry) {
  const nlohmann::json json{
      {"uid", entry.uid}, {"prod", entry.prod}, {"cons", entry.cons}, {"created", entry.created}};
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
  struct Found {
    BookEntry entry;
    std::filesystem::file_time_type written;
  };
  std::vector<Found> all;
  std::error_code error;
  for (const auto& file : std::filesystem::directory_iterator(directory_, error)) {
    if (file.path().extension() != ".json") continue;
    const auto text = read_file(file.path());
    auto entry = text ? parse(*text) : Result<BookEntry>(text.error());
    // A copy under another name is no session's.
    if (!entry || !check_uid(entry->uid) || file.path().stem() != entry->uid) continue;
    std::error_code gone;
    all.push_back({std::move(*entry), file.last_write_time(gone)});
  }
  // Two of one second as they were written.
  std::sort(all.begin(), all.end(), [](const Found& a, const Found& b) {
    return std::tie(a.entry.created, a.written) < std::tie(b.entry.created, b.written);
  });
  std::vector<BookEntry> entries;
  for (Found& found : all) entries.push_back(std::move(found.entry));
  return entries;
}

void SessionBook::forget(const std::string& uid) const {
  std::error_code ignored;
  if (check_uid(uid)) std::filesystem::remove(path_of(uid), ignored);
}

}  // namespace scistream::client
