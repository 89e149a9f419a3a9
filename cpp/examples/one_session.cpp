// One session between two facilities, from the request to the release, and bytes through it.
//
//   one_session                              makes both facilities itself, on this machine
//   one_session PROD_HOST:PORT CONS_HOST:PORT   uses those that are there (TLS, certificates as
//                                            s2uc finds them), from a machine that both can reach

#include <chrono>
#include <future>
#include <iostream>
#include <optional>
#include <scistream/scistream.hpp>
#include <string>

#include "sockets.hpp"

namespace {

using scistream::Endpoint;
using scistream::Role;

/// A control server with its data server, in this process, for this machine.
scistream::ControlServer facility(const std::string& address) {
  scistream::ControlServerOptions options;
  options.listener_ip = address;
  options.port = 0;  // any
  options.log = [address](scistream::LogLevel level, std::string_view line) {
    if (level == scistream::LogLevel::error) std::cerr << address << ": " << line << '\n';
  };
  return must(scistream::ControlServer::start(options));
}

/// What the application controller beside each application does.
std::vector<Endpoint> hello(const scistream::PendingSession& session, const Endpoint& s2cs,
                            Role role, const scistream::ClientOptions& client,
                            std::vector<Endpoint> listeners = {}) {
  scistream::AppControllerOptions application;
  application.uid = session.uid();
  application.s2cs = s2cs;
  application.role = role;
  application.listeners = std::move(listeners);
  application.key = session.app_key(role);
  application.client = client;
  auto controller = must(scistream::AppController::create(application));
  scistream::HelloOptions how;
  how.patience = std::chrono::seconds(10);  // the request may not have arrived
  return must(controller.hello(how));
}

int stream(const Endpoint& prod, const Endpoint& cons, const scistream::ClientOptions& trust) {
  auto client = must(scistream::UserClient::create(trust));
  const auto [producer, where] = listen_on_loopback();

  scistream::SessionRequest request;
  request.prod = prod;
  request.cons = cons;
  auto pending = must(client.begin(request));  // waits for both applications
  hello(pending, prod, Role::producer, trust, {where});
  hello(pending, cons, Role::consumer, trust);
  auto session = must(pending.wait(std::chrono::seconds(30)));
  std::cout << "session " << session.uid() << " at " << to_string(session.listeners())
            << ", between the facilities by " << session.transport() << ", set up in "
            << session.setup_time().count() << " us\n";

  std::string sent(8'000'000, ' ');
  for (std::size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<char>(i * i % 251);
  auto consumer = std::async(std::launch::async, [to = session.listeners().front()] {
    return receive_all(connect_to(to));
  });
  {
    const Socket connection = accept_from(producer);
    send_all(connection, sent);
    receive_all(connection);  // until the consumer has closed
  }
  const bool is_equal = consumer.get() == sent;

  const auto stats = must(session.stats());
  std::cout << (is_equal ? "equal" : "DIFFERENT") << ": " << stats.bytes_to_consumer << " of "
            << sent.size() << " bytes in " << stats.connections_total << " connection\n";
  must(session.release());
  const auto left = must(client.info(prod)).sessions + must(client.info(cons)).sessions;
  std::cout << "released, sessions left: " << left << '\n';
  return is_equal && stats.bytes_to_consumer == sent.size() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    std::cout << "scistream " << scistream::version() << '\n';
    if (argc == 3)
      return stream(must(scistream::parse_endpoint(argv[1])),
                    must(scistream::parse_endpoint(argv[2])), {});
    const auto prod = facility("127.0.1.1");
    const auto cons = facility("127.0.2.1");
    scistream::ClientOptions trust;
    trust.roots = prod.certificate() + cons.certificate();
    return stream(prod.endpoint(), cons.endpoint(), trust);
  } catch (const std::exception& error) {
    std::cerr << "one_session: " << error.what() << '\n';
    return 1;
  }
}
