#include "proxy/docker_engine.hpp"

#include <sys/un.h>

#include <algorithm>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <utility>

#include "net/url.hpp"

namespace scistream::proxy {

namespace {

namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::asio::local::stream_protocol;
using dataserver::Callback;
using nlohmann::json;

constexpr const char* api = "/v1.41";
constexpr std::string_view scheme = "unix://";
/// An engine that starts a container may have to unpack things first.
constexpr std::chrono::seconds patience{30};
constexpr std::size_t most_answer = 16U << 20U;

/// One request to the engine, on a connection of its own.
class Call : public std::enable_shared_from_this<Call> {
 public:
  Call(boost::asio::io_context& context, std::string socket, http::verb verb,
       const std::string& target, const std::string& body)
      : stream_(context), socket_(std::move(socket)), request_(verb, api + target, 11) {
    request_.set(http::field::host, "localhost");
    request_.set(http::field::connection, "close");
    if (!body.empty()) request_.set(http::field::content_type, "application/json");
    request_.body() = body;
    request_.prepare_payload();
    parser_.body_limit(most_answer);
  }

  /// `limit`: none, however long it takes. `begins` comes when the answer does.
  void start(std::optional<std::chrono::seconds> limit, Callback<std::string> done,
             std::function<void()> begins = {}) {
    done_ = std::move(done);
    begins_ = std::move(begins);
    if (limit) stream_.expires_after(*limit);
    stream_.async_connect(stream_protocol::endpoint(socket_),
                          [self = shared_from_this()](const boost::system::error_code& ec) {
                            if (ec) return self->fail(ec);
                            self->send();
                          });
  }

 private:
  void send() {
    http::async_write(
        stream_, request_,
        [self = shared_from_this()](const boost::system::error_code& ec, std::size_t) {
          if (ec) return self->fail(ec);
          self->receive();
        });
  }

  void receive() {
    http::async_read_header(
        stream_, buffer_, parser_,
        [self = shared_from_this()](const boost::system::error_code& ec, std::size_t) {
          if (ec) return self->fail(ec);
          if (self->begins_ && self->parser_.get().result() == http::status::ok) self->begins_();
          self->receive_rest();
        });
  }

  void receive_rest() {
    http::async_read(stream_, buffer_, parser_,
                     [self = shared_from_this()](const boost::system::error_code& ec, std::size_t) {
                       if (ec) return self->fail(ec);
                       self->answer();
                     });
  }

  void answer() {
    const auto& response = parser_.get();
    const auto status = response.result_int();
    if (status < 400) return done_(response.body());
    const json said = json::parse(response.body(), nullptr, false);
    const std::string why = said.is_object() && said.contains("message")
                                ? said["message"].get<std::string>()
                                : "HTTP " + std::to_string(status);
    const Cause cause = status == 400   ? Cause::invalid_argument
                        : status == 404 ? Cause::not_found
                        : status == 409 ? Cause::already_exists
                                        : Cause::unavailable;
    done_(Error{cause, "the container engine says: " + why});
  }

  void fail(const boost::system::error_code& ec) {
    const std::string where = "the container engine at '" + socket_ + "'";
    if (ec == boost::system::errc::permission_denied) {
      return done_(Error{Cause::permission_denied,
                         where + " is not for this user; those of the group 'docker' may use it"});
    }
    if (ec == beast::error::timeout)
      return done_(Error{Cause::timeout, where + " does not answer"});
    done_(Error{Cause::unavailable, where + " cannot be reached: " + ec.message() +
                                        "; install the package docker.io, or say where it is "
                                        "(--container-engine)"});
  }

  beast::basic_stream<stream_protocol> stream_;
  const std::string socket_;
  http::request<http::string_body> request_;
  beast::flat_buffer buffer_;
  http::response_parser<http::string_body> parser_;
  Callback<std::string> done_;
  std::function<void()> begins_;
};

Result<std::string> call(const std::string& socket, http::verb verb, const std::string& target,
                         const std::string& body = {}) {
  boost::asio::io_context context;
  Result<std::string> answer = Error{Cause::unavailable, "the container engine says nothing"};
  std::make_shared<Call>(context, socket, verb, target, body)
      ->start(patience, [&answer](Result<std::string> said) { answer = std::move(said); });
  context.run();
  return answer;
}

Error strange(const std::string& answer) {
  return {Cause::unavailable,
          "the container engine gives a strange answer: '" + answer.substr(0, 80) + "'"};
}

/// What a log of two streams says: each piece has a header of 8 bytes, the last 4 its length.
std::string without_headers(std::string_view log) {
  constexpr std::size_t header = 8;
  std::string text;
  while (log.size() >= header) {
    std::size_t size = 0;
    for (std::size_t i = 4; i < header; ++i) size = size << 8U | static_cast<unsigned char>(log[i]);
    text += log.substr(header, size);
    log.remove_prefix(std::min(log.size(), header + size));
  }
  return text;
}

Status without_answer(const Result<std::string>& answer) {
  return answer ? Status() : Status(answer.error());
}

}  // namespace

Result<DockerEngine> DockerEngine::at(const std::string& address) {
  if (!address.starts_with(scheme) || address[scheme.size()] != '/') {
    return Error{Cause::invalid_argument,
                 "the container engine '" + address + "' is not of the form unix:///PATH"};
  }
  if (address.size() - scheme.size() >= sizeof(sockaddr_un::sun_path)) {
    return Error{Cause::invalid_argument,
                 "the container engine's path '" + address + "' is longer than a socket's may be"};
  }
  return DockerEngine(address.substr(scheme.size()));
}

std::string DockerEngine::default_address() {
  const char* told = std::getenv("DOCKER_HOST");
  return told != nullptr && *told != '\0' ? told : "unix:///var/run/docker.sock";
}

Status DockerEngine::has_image(const std::string& image) const {
  return without_answer(
      call(socket_, http::verb::get, "/images/" + net::percent_encoded(image) + "/json"));
}

Result<std::string> DockerEngine::create(const std::string& name, const json& container) const {
  const auto answer =
      call(socket_, http::verb::post, "/containers/create?name=" + net::percent_encoded(name),
           container.dump());
  if (!answer) return answer.error();
  const json made = json::parse(*answer, nullptr, false);
  if (!made.is_object() || !made.contains("Id")) return strange(*answer);
  return made["Id"].get<std::string>();
}

Status DockerEngine::start(const std::string& id) const {
  return without_answer(call(socket_, http::verb::post, "/containers/" + id + "/start"));
}

Status DockerEngine::remove(const std::string& id) const {
  const auto answer =
      call(socket_, http::verb::delete_, "/containers/" + id + "?force=true&v=true");
  // 409: its removal is under way.
  if (!answer && answer.error().cause != Cause::not_found &&
      answer.error().cause != Cause::already_exists)
    return answer.error();
  return {};
}

Result<std::string> DockerEngine::logs(const std::string& id) const {
  const auto answer =
      call(socket_, http::verb::get, "/containers/" + id + "/logs?stdout=true&stderr=true");
  if (!answer) return answer.error();
  return without_headers(*answer);
}

Result<std::vector<std::string>> DockerEngine::labelled(const std::string& name,
                                                        const std::string& value) const {
  const json filters{{"label", {name + "=" + value}}};
  const auto answer =
      call(socket_, http::verb::get,
           "/containers/json?all=true&filters=" + net::percent_encoded(filters.dump()));
  if (!answer) return answer.error();
  const json found = json::parse(*answer, nullptr, false);
  if (!found.is_array()) return strange(*answer);
  std::vector<std::string> ids;
  for (const json& each : found)
    if (each.contains("Id")) ids.push_back(each["Id"].get<std::string>());
  return ids;
}

void DockerEngine::async_wait(boost::asio::io_context& context, const std::string& id,
                              std::function<void()> watched, Callback<int> done) const {
  std::make_shared<Call>(context, socket_, http::verb::post,
                         "/containers/" + id + "/wait?condition=next-exit", std::string())
      ->start(
          std::nullopt,
          [done = std::move(done)](const Result<std::string>& answer) {
            if (!answer) return done(answer.error());
            const json ended = json::parse(*answer, nullptr, false);
            if (!ended.is_object() || !ended.contains("StatusCode")) return done(strange(*answer));
            done(ended["StatusCode"].get<int>());
          },
          std::move(watched));
}

}  // namespace scistream::proxy
