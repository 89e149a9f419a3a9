// A data server of one's own in a control server that knows its users in a way of its own, too. A
// session goes through it.
//
// The data server forwards by threads: one a session accepts, and each connection has another. It
// knows plain TCP and slows nothing down: rates are left out.

#include <future>
#include <iostream>
#include <scistream/scistream.hpp>
#include <system_error>
#include <thread>
#include <vector>

#include "plain_connection.hpp"
#include "sockets.hpp"

namespace {

using scistream::Cause;
using scistream::Error;

/// Bound, or without a descriptor. An address that is in use must not be taken a second time, so
/// SO_REUSEADDR stays off.
Socket bind_to(const std::string& host, std::uint16_t port) {
  const auto found = look_up({host, port});
  if (!found) return {};
  Socket socket(::socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (::bind(socket.get(), found->ai_addr, found->ai_addrlen) != 0) return {};
  return socket;
}

/// The listeners of one session and what they accept.
class PlainChannel final : public scistream::Channel {
 public:
  PlainChannel(std::vector<Socket> listeners, std::vector<std::uint16_t> ports)
      : listeners_(std::move(listeners)), ports_(std::move(ports)) {}
  ~PlainChannel() override { cut(); }

  [[nodiscard]] std::vector<std::uint16_t> ports() const override { return ports_; }

  scistream::Status forward(const scistream::ForwardRequest& request) override {
    const std::lock_guard lock(shared_->mutex);
    shared_->route = request;
    if (acceptor_.joinable()) return {};
    for (const Socket& each : listeners_)
      if (::listen(each.get(), 128) != 0) return Error{Cause::failure, "cannot listen"};
    acceptor_ = std::thread([this] { accept_all(); });
    return {};
  }

  void cut() override {
    shared_->cut.give();
    drain();
  }

  void drain() override {
    shared_->close.give();
    std::call_once(closed_, [this] {
      if (acceptor_.joinable()) acceptor_.join();
      listeners_.clear();
    });
    std::unique_lock lock(shared_->mutex);
    shared_->changed.wait(lock, [this] { return shared_->active == 0; });
  }

  [[nodiscard]] scistream::Traffic traffic() const override {
    return {shared_->to_consumer, shared_->to_producer, shared_->active,
            shared_->total,       shared_->errors,      0};
  }

 private:
  void accept_all() const {
    std::vector<pollfd> waiting{{shared_->close.get(), POLLIN, 0}};
    for (const Socket& each : listeners_) waiting.push_back({each.get(), POLLIN, 0});
    while (waiting[0].revents == 0) {
      if (::poll(waiting.data(), waiting.size(), -1) < 0 && errno != EINTR) return;
      for (std::size_t i = 0; i < listeners_.size(); ++i) {
        if ((waiting[i + 1].revents & POLLIN) != 0) accept_one(i);
      }
    }
  }

  void accept_one(std::size_t listener) const {
    Socket client(::accept4(listeners_[listener].get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (client.get() < 0) return;  // it has gone again
    ++shared_->total;
    ++shared_->active;
    try {
      std::thread(serve, std::move(client), listener, shared_).detach();
    } catch (const std::system_error&) {  // no thread left: it is closed
      --shared_->active;
      ++shared_->errors;
    }
  }

  std::vector<Socket> listeners_;
  const std::vector<std::uint16_t> ports_;
  const std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
  std::thread acceptor_;
  std::once_flag closed_;
};

class PlainDataServer final : public scistream::DataServer {
 public:
  [[nodiscard]] std::string kind() const override { return "Plain"; }

  scistream::Result<std::unique_ptr<scistream::Channel>> listen(
      const scistream::ListenRequest& request) override {
    if (request.datagrams || request.proxy_protocol)
      return Error{Cause::invalid_argument, "this data server knows plain connections only"};
    std::vector<std::uint16_t> candidates = request.exact_ports;
    if (candidates.empty()) {
      for (int port = request.ports.first; port <= request.ports.last; ++port)
        candidates.push_back(static_cast<std::uint16_t>(port));
    }
    const auto count = static_cast<std::size_t>(request.num_conn);
    std::vector<Socket> listeners;
    std::vector<std::uint16_t> ports;
    for (std::size_t i = 0; i < candidates.size() && ports.size() < count; ++i) {
      Socket socket = bind_to(request.bind_host, candidates[i]);
      if (socket.get() < 0) continue;
      // What connects to a consumer's facility waits for `forward`, at a producer's it is refused.
      if (request.session.role == scistream::Role::consumer && ::listen(socket.get(), 128) != 0)
        continue;
      listeners.push_back(std::move(socket));
      ports.push_back(candidates[i]);
    }
    if (ports.size() < count) return Error{Cause::exhausted, "too few ports are free"};
    return std::unique_ptr<scistream::Channel>(
        std::make_unique<PlainChannel>(std::move(listeners), std::move(ports)));
  }
};

/// Lets in who knows the word of the day.
class WordOfTheDay final : public scistream::Authenticator {
 public:
  scistream::Result<scistream::Identity> identify(const scistream::Secret& token) override {
    if (token != scistream::Secret("xenon"))
      return Error{Cause::unauthenticated, "that is not the word of today"};
    scistream::Identity identity;
    identity.subject = "beamline";
    identity.expires = std::chrono::system_clock::now() + std::chrono::hours(1);
    return identity;
  }
};

scistream::ControlServer facility(const std::string& address) {
  scistream::ControlServerOptions options;
  options.listener_ip = address;
  options.port = 0;  // any
  options.own_data_server = std::make_shared<PlainDataServer>();
  options.own_authenticator = std::make_shared<WordOfTheDay>();
  return must(scistream::ControlServer::start(options));
}

int stream() {
  const auto prod = facility("127.0.1.1");
  const auto cons = facility("127.0.2.1");
  const auto [producer, where] = listen_on_loopback();
  scistream::ClientOptions trust;
  trust.roots = prod.certificate() + cons.certificate();
  trust.token = scistream::Secret("xenon");
  auto client = must(scistream::UserClient::create(trust));
  scistream::SessionRequest request;
  request.prod = prod.endpoint();
  request.cons = cons.endpoint();
  request.prod_app = {where};
  request.transport = "tcp";
  auto session = must(client.request(request));

  auto consumer = std::async(std::launch::async, [to = session.listeners().front()] {
    return receive_all(connect_to(to));
  });
  const std::string sent(3'000'000, 'x');
  send_all(accept_from(producer), sent);
  const bool is_equal = consumer.get() == sent;
  // A control server looks at its data server twice a second, and tells who watches.
  std::stop_source seen;
  const auto look = [&](const scistream::SessionEvent& event) {
    if (event.status.bytes_to_consumer == sent.size()) seen.request_stop();
  };
  const auto often = std::chrono::milliseconds(100);
  must(client.watch(session.uid(), look, often, {}, seen.get_token()));
  std::cout << (is_equal ? "equal" : "DIFFERENT") << ": " << sent.size() << " bytes through "
            << must(client.info(prod.endpoint())).data_server_kinds.at(0) << '\n';
  must(session.release());
  return is_equal ? 0 : 1;
}

}  // namespace

int main() {
  try {
    return stream();
  } catch (const std::exception& error) {
    std::cerr << "own_data_server: " << error.what() << '\n';
    return 1;
  }
}
