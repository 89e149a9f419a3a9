#include <algorithm>
#include <chrono>
#include <future>
#include <mutex>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <vector>

#include "dataserver/relay_of_ones_own.hpp"
#include "sdk/two_facilities.hpp"

namespace scistream::test {
namespace {

using std::chrono::milliseconds;

/// A token is somebody's name.
class ByName : public Authenticator {
 public:
  Result<Identity> identify(const Secret& token) override {
    if (token.view() != "ada") return Error{Cause::unauthenticated, "nobody we know"};
    Identity identity;
    identity.subject = std::string(token.view());
    identity.expires = std::chrono::system_clock::now() + std::chrono::hours(1);
    return identity;
  }
};

class SdkControlServer : public TwoFacilities {};

TEST_F(SdkControlServer, NamesAnOptionThatIsWrong) {
  ControlServerOptions options = facility_at("127.0.1.1", {37100, 37149});
  options.type = "Bogus";
  const Error error = why(ControlServer::start(options));
  EXPECT_EQ(error.cause, Cause::invalid_argument);
  EXPECT_NE(error.message.find("Bogus"), std::string::npos) << error.message;
  options.type = "Native";
  options.timeout = milliseconds(-1);
  EXPECT_EQ(why(ControlServer::start(options)).cause, Cause::invalid_argument);
}

TEST_F(SdkControlServer, APortThatIsTakenIsSaidToBe) {
  ControlServerOptions options = facility_at("127.0.1.1", {37100, 37149});
  options.port = prod->endpoint().port;
  EXPECT_EQ(why(ControlServer::start(options)).cause, Cause::already_exists);
}

TEST_F(SdkControlServer, KeepsItsFaceWhenItHasStopped) {
  const Endpoint endpoint = prod->endpoint();
  const std::string certificate = prod->certificate();
  EXPECT_TRUE(prod->running());
  prod->stop(milliseconds(0));
  prod->stop();
  EXPECT_FALSE(prod->running());
  EXPECT_EQ(prod->endpoint(), endpoint);
  EXPECT_EQ(prod->certificate(), certificate);
  EXPECT_FALSE(prod->fingerprint().empty());
  EXPECT_EQ(why(prod->reload()).cause, Cause::failed_precondition);
  EXPECT_EQ(connect_error(endpoint), ECONNREFUSED);
}

TEST_F(SdkControlServer, IsStoppedByTheOneThatTakesItsPlace) {
  const Endpoint before = prod->endpoint();
  *prod = must(ControlServer::start(facility_at("127.0.1.1", {37100, 37149})));
  EXPECT_EQ(connect_error(before), ECONNREFUSED);
  EXPECT_TRUE(prod->running());
}

TEST_F(SdkControlServer, ARequestedStopEndsTheWaitForConnections) {
  const Target producer;
  SessionRequest request = wanted();
  request.prod_app = {producer.endpoint()};
  auto session = must(client->request(request));
  session.keep();
  const auto consumer = connect_to(session.listeners().front());
  const auto accepted = producer.accept();
  ASSERT_TRUE(accepted);
  std::stop_source stop;
  auto stopping =
      std::async(std::launch::async, [&] { cons->stop(std::chrono::hours(1), stop.get_token()); });
  EXPECT_EQ(stopping.wait_for(milliseconds(50)), std::future_status::timeout);
  stop.request_stop();
  stopping.get();
  EXPECT_EQ(receive(consumer.get()).error, ECONNRESET);
}

TEST_F(SdkControlServer, ForwardsThroughADataServerOfOnesOwn) {
  const auto own = std::make_shared<RelayOfOnesOwn>();
  ControlServerOptions options = facility_at("127.0.1.1", {37100, 37149});
  options.own_data_server = own;
  *prod = must(ControlServer::start(options));
  client.emplace(must(UserClient::create(trust())));
  EXPECT_EQ(must(client->info(prod->endpoint())).data_server_kinds,
            (std::vector<std::string>{"OnesOwn"}));
  const Target producer;
  SessionRequest request = wanted();
  request.prod_app = {producer.endpoint()};
  const auto session = must(client->request(request));
  const auto consumer = connect_to(session.listeners().front());
  send_all(producer.accept().get(), "bytes");
  EXPECT_EQ(receive(consumer.get(), 5).bytes, "bytes");
}

TEST_F(SdkControlServer, KnowsUsersInAWayOfItsOwnAndByAPolicyThatIsAText) {
  ControlServerOptions options = facility_at("127.0.1.1", {37100, 37149});
  options.own_authenticator = std::make_shared<ByName>();
  options.policy_text = "[everybody]\n";
  const auto refused = ControlServer::start(options);
  EXPECT_EQ(why(refused).cause, Cause::invalid_argument) << "that is no policy";
  options.policy_text.clear();
  *prod = must(ControlServer::start(options));
  ClientOptions known = trust();
  known.token = Secret("ada");
  EXPECT_TRUE(must(UserClient::create(known)).info(prod->endpoint()).ok());
  known.token = Secret("eve");
  EXPECT_EQ(why(must(UserClient::create(known)).info(prod->endpoint())).cause,
            Cause::unauthenticated);
}

TEST_F(SdkControlServer, LogsThroughACallbackWhateverThatThrows) {
  std::mutex mutex;
  std::vector<std::string> lines;
  ControlServerOptions options = facility_at("127.0.1.1", {37100, 37149});
  options.log = [&](LogLevel level, std::string_view line) {
    const std::lock_guard lock(mutex);
    if (level == LogLevel::info) lines.emplace_back(line);
    throw std::runtime_error("no room left");
  };
  *prod = must(ControlServer::start(options));
  client.emplace(must(UserClient::create(trust())));
  const std::string uid = must(client->request(wanted())).uid();
  prod.reset();
  const std::lock_guard lock(mutex);
  EXPECT_TRUE(std::any_of(lines.begin(), lines.end(), [&](const std::string& line) {
    return line.find(uid) != std::string::npos;
  }));
}

}  // namespace
}  // namespace scistream::test
