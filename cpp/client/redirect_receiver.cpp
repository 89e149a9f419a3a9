#include "client/redirect_receiver.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <deque>
#include <map>
#include <vector>

#include "base/secret.hpp"
#include "net/tcp.hpp"

namespace scistream::client {

namespace {

constexpr std::size_t most_request = 8'192;
/// Browsers open some for later; the oldest goes when there are more.
constexpr std::size_t most_connections = 16;
constexpr int backlog = 64;
constexpr std::string_view path = "/callback";

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string decoded(std::string_view text) {
  std::string all;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool is_escape = text[i] == '%' && i + 2 < text.size() && hex_digit(text[i + 1]) >= 0 &&
                           hex_digit(text[i + 2]) >= 0;
    if (is_escape) {
      all += static_cast<char>(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2]));
      i += 2;
    } else {
      all += text[i] == '+' ? ' ' : text[i];
    }
  }
  return all;
}

/// Nothing if a name comes twice: who reads the first and who the second would differ.
std::optional<std::map<std::string, std::string>> fields_in(std::string_view query) {
  std::map<std::string, std::string> fields;
  while (!query.empty()) {
    const auto end = std::min(query.find('&'), query.size());
    const std::string_view field = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    if (field.empty()) continue;
    const auto equals = std::min(field.find('='), field.size());
    const std::string_view value = field.substr(std::min(equals + 1, field.size()));
    if (!fields.emplace(decoded(field.substr(0, equals)), decoded(value)).second)
      return std::nullopt;
  }
  return fields;
}

std::string page(const char* status, const std::string& text) {
  const std::string body = "<!doctype html><title>SciStream</title><p>" + text + "</p>\n";
  // The address of this page has the code in it, and is for nobody else.
  return std::string("HTTP/1.1 ") + status +
         "\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: " +
         std::to_string(body.size()) +
         "\r\nCache-Control: no-store\r\nReferrer-Policy: no-referrer\r\n"
         "Content-Security-Policy: default-src 'none'\r\nConnection: close\r\n\r\n" +
         body;
}

/// One connection, and what it has said so far.
struct Visitor {
  net::Fd socket;
  std::string request;
};

enum class Heard { more_to_come, all, nonsense };

Heard hear(Visitor& visitor) {
  std::array<char, 2048> chunk{};
  for (;;) {
    const ssize_t got = ::recv(visitor.socket.get(), chunk.data(), chunk.size(), MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return Heard::more_to_come;
    if (got <= 0) return Heard::nonsense;
    visitor.request.append(chunk.data(), static_cast<std::size_t>(got));
    if (visitor.request.find("\r\n\r\n") != std::string::npos) return Heard::all;
    if (visitor.request.size() > most_request) return Heard::nonsense;
  }
}

void answer(const Visitor& visitor, const char* status, const std::string& text) {
  const std::string all = page(status, text);
  // It fits the buffer of a new connection; who does not read it goes without.
  (void)!::send(visitor.socket.get(), all.data(), all.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  ::shutdown(visitor.socket.get(), SHUT_WR);
}

/// What comes behind the path of a request for ours; nothing of any other.
std::optional<std::string> query_in(const std::string& request) {
  constexpr std::string_view method = "GET ";
  if (!request.starts_with(method)) return std::nullopt;
  const auto line = std::string_view(request).substr(method.size(), request.find("\r\n"));
  const std::string_view target = line.substr(0, line.find(' '));
  if (!target.starts_with(std::string(path) + "?")) return std::nullopt;
  return std::string(target.substr(path.size() + 1));
}

std::optional<Result<Secret>> serve(const Visitor& visitor, const Authorization& authorization,
                                    const std::string& issuer) {
  auto query = query_in(visitor.request);
  if (!query) {
    answer(visitor, "404 Not Found", "There is nothing here.");
    return std::nullopt;
  }
  const Wiped wiped(*query);
  auto code = code_in(*query, authorization, issuer);
  if (!code) {
    answer(visitor, "400 Bad Request", "This is not the login that is waited for.");
  } else if (code->ok()) {
    answer(visitor, "200 OK", "You may close this window.");
  } else {
    answer(visitor, "200 OK", "You are not logged in. You may close this window.");
  }
  return code;
}

}  // namespace

std::optional<Result<Secret>> code_in(std::string_view query, const Authorization& authorization,
                                      const std::string& issuer) {
  auto fields = fields_in(query);
  if (!fields || !equal_in_constant_time((*fields)["state"], authorization.state))
    return std::nullopt;
  const auto fail = [&issuer](Cause cause, const std::string& why) -> Result<Secret> {
    return Error{cause, "'" + issuer + "' " + why};
  };
  // Else one provider could send the answer of another (RFC 9207).
  const std::string& from = (*fields)["iss"];
  if (!from.empty() && from != issuer)
    return fail(Cause::unauthenticated, "was asked for a login, and another one answered");
  std::string& code = (*fields)["code"];
  const Wiped wiped(code);
  const std::string& error = (*fields)["error"];
  if (error.empty() && is_one_word(code)) return Result<Secret>(Secret(std::string_view(code)));
  if (error == "access_denied")
    return fail(Cause::permission_denied, "gives no login: you, or it, did not agree");
  constexpr std::size_t longest = 200;
  const bool shows = error.size() <= longest && is_one_word(error);
  return fail(Cause::failure, shows ? "gives no login: " + error : "gives no login");
}

Result<RedirectReceiver> RedirectReceiver::open() {
  const auto where = net::local_endpoint({"127.0.0.1", 0});
  if (!where) return where.error();
  auto listener = net::bind_tcp(*where);
  if (!listener) return listener.error();
  const Status listens = net::listen_tcp(listener->get(), backlog);
  if (!listens) return listens.error();
  const auto bound = net::bound_address(listener->get());
  if (!bound) return bound.error();
  return RedirectReceiver(std::move(*listener), bound->port());
}

std::string RedirectReceiver::address() const {
  return "http://127.0.0.1:" + std::to_string(port_) + std::string(path);
}

Result<Secret> RedirectReceiver::receive(const Authorization& authorization,
                                         const std::string& issuer,
                                         std::chrono::milliseconds limit) {
  using std::chrono::milliseconds;
  using std::chrono::steady_clock;
  const auto deadline = steady_clock::now() + limit;
  std::deque<Visitor> visitors;  // oldest first
  for (;;) {
    const auto left = std::chrono::ceil<milliseconds>(deadline - steady_clock::now());
    if (left <= milliseconds(0)) {
      return Error{Cause::timeout, "no browser came back from '" + issuer + "' within " +
                                       std::to_string(limit.count() / 1000) + " s; log in again"};
    }
    std::vector<pollfd> waiting{{listener_.get(), POLLIN, 0}};
    for (const Visitor& each : visitors) waiting.push_back({each.socket.get(), POLLIN, 0});
    const int ready = ::poll(waiting.data(), waiting.size(), static_cast<int>(left.count()));
    if (ready < 0 && errno != EINTR) return errno_error("cannot wait for a browser", errno);
    if (ready <= 0) continue;
    std::deque<Visitor> stay;
    for (std::size_t i = 0; i < visitors.size(); ++i) {
      Visitor& each = visitors[i];
      const Heard heard = waiting[i + 1].revents == 0 ? Heard::more_to_come : hear(each);
      if (heard == Heard::more_to_come) stay.push_back(std::move(each));
      if (heard != Heard::all) continue;
      const Wiped wiped(each.request);
      if (auto code = serve(each, authorization, issuer)) return std::move(*code);
    }
    visitors = std::move(stay);
    if (waiting.front().revents == 0) continue;
    net::Fd client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!client) continue;
    if (visitors.size() >= most_connections) visitors.pop_front();
    visitors.push_back({std::move(client), {}});
  }
}

}  // namespace scistream::client
