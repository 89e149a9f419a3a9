#include "net/http_client.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <future>

#include "net/io_threads.hpp"
#include "support/temporary_directory.hpp"
#include "support/web_server.hpp"

namespace scistream::net {
namespace {

using namespace test;
using std::chrono::milliseconds;

class HttpClientTest : public ::testing::Test {
 protected:
  Result<HttpResponse> send(HttpRequest request, HttpOptions options = {}) {
    const HttpClient client = must(HttpClient::make(threads_.next(), std::move(options)));
    std::promise<Result<HttpResponse>> promise;
    client.send(std::move(request), [&](auto answer) { promise.set_value(std::move(answer)); });
    return promise.get_future().get();
  }
  Result<HttpResponse> get(const Url& url, HttpOptions options = {}) {
    return send({"GET", url, {}, {}}, std::move(options));
  }
  /// Whom to trust, for a certificate of the test's own.
  std::string trusting(const CertificateAndKey& identity) {
    const auto path = folder_.path() / "ca.pem";
    std::ofstream(path) << identity.certificate;
    return path.string();
  }

  TemporaryDirectory folder_;
  IoThreads threads_{1};
};

TEST_F(HttpClientTest, SendsARequestAndReadsItsAnswer) {
  WebServer server([](const std::string&) {
    return http_answer("{}", "Cache-Control: public, max-age=90\r\n", "201 Created");
  });
  const auto answer =
      must(send({"POST", server.url("/a?b"), {{"Authorization", "Basic x"}}, "body"}));
  EXPECT_EQ(answer.status, 201U);
  EXPECT_EQ(answer.body, "{}");
  EXPECT_EQ(answer.max_age, std::chrono::seconds(90));
  const std::string request = server.requests().at(0);
  EXPECT_TRUE(request.starts_with("POST /a?b HTTP/1.1\r\n")) << request;
  EXPECT_NE(request.find("\r\nHost: " + to_string(server.url().server) + "\r\n"),
            std::string::npos);
  EXPECT_NE(request.find("\r\nAuthorization: Basic x\r\n"), std::string::npos);
  EXPECT_TRUE(request.ends_with("\r\n\r\nbody"));
}

TEST_F(HttpClientTest, TrustsWhomItIsToldToAndNobodyElse) {
  const auto identity = must(make_self_signed({"127.0.0.1", "localhost"}));
  WebServer server([](const std::string&) { return http_answer("safe"); }, identity);
  EXPECT_EQ(must(get(server.url(), {trusting(identity)})).body, "safe");
  EXPECT_EQ(must(get(server.url("/", "localhost"), {trusting(identity)})).body, "safe");

  const auto stranger = get(server.url());
  ASSERT_FALSE(stranger.ok());
  EXPECT_EQ(stranger.error().cause, Cause::unauthenticated);
  EXPECT_NE(stranger.error().message.find("is not trusted"), std::string::npos);
}

TEST_F(HttpClientTest, ACertificateForAnotherNameIsRefused) {
  const auto identity = must(make_self_signed({"other.example"}));
  WebServer server([](const std::string&) { return http_answer("safe"); }, identity);
  const auto answer = get(server.url(), {trusting(identity)});
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().cause, Cause::unauthenticated);
  EXPECT_TRUE(server.requests().empty());
}

TEST_F(HttpClientTest, InClearItTalksToThisMachineOnly) {
  const auto answer = get({false, {"auth.example.org", 80}, "/"});
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().cause, Cause::invalid_argument);
  EXPECT_NE(answer.error().message.find("https"), std::string::npos);
}

TEST_F(HttpClientTest, AServerThatSaysNothingIsGivenUp) {
  WebServer server([](const std::string&) { return std::nullopt; });
  const auto answer = get(server.url(), {"", milliseconds(100)});
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().cause, Cause::timeout);
  EXPECT_NE(answer.error().message.find(server_of(server.url())), std::string::npos);
}

TEST_F(HttpClientTest, AnAnswerThatIsCutIsNone) {
  WebServer server(
      [](const std::string&) { return "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\na"; });
  EXPECT_EQ(get(server.url()).error().cause, Cause::unavailable);
}

TEST_F(HttpClientTest, AnswersThatAreTooMuchAreRefused) {
  WebServer large([](const std::string&) { return http_answer(std::string(2'000, 'a')); });
  EXPECT_EQ(get(large.url(), {"", milliseconds(5'000), 1'000}).error().cause, Cause::unavailable);
  WebServer headers([](const std::string&) {
    return http_answer("", "X: " + std::string(100'000, 'a') + "\r\n");
  });
  EXPECT_EQ(get(headers.url()).error().cause, Cause::unavailable);
  WebServer packed(
      [](const std::string&) { return http_answer("bomb", "Content-Encoding: gzip\r\n"); });
  EXPECT_EQ(get(packed.url()).error().cause, Cause::unavailable);
}

TEST_F(HttpClientTest, WhatIsNoAnswerIsAnError) {
  for (const char* bytes : {"", "hello", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
                            "HTTP/1.1 abc\r\n\r\n", "SSH-2.0-x\r\n"}) {
    WebServer server([bytes](const std::string&) { return bytes; });
    EXPECT_EQ(get(server.url()).error().cause, Cause::unavailable) << bytes;
  }
}

TEST_F(HttpClientTest, RedirectsAreAnswersAndNotFollowed) {
  WebServer server([](const std::string&) {
    return http_answer("", "Location: http://127.0.0.1:1/\r\n", "302 Found");
  });
  EXPECT_EQ(must(get(server.url())).status, 302U);
  EXPECT_EQ(server.requests().size(), 1U);
}

TEST_F(HttpClientTest, NobodyThereIsUnavailable) {
  const Fd taken = must(bind_tcp(address_of({"127.0.0.1", 0})));  // and does not listen
  const auto port = must(bound_address(taken.get())).port();
  EXPECT_EQ(get({false, {"127.0.0.1", port}, "/"}).error().cause, Cause::unavailable);
  EXPECT_EQ(get({true, {"no-such-name.invalid", 443}, "/"}).error().cause, Cause::unavailable);
}

TEST_F(HttpClientTest, AFileOfAuthoritiesThatIsNoneIsRefused) {
  const auto made = HttpClient::make(threads_.next(), {"/nowhere/ca.pem"});
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.error().cause, Cause::not_found);
  EXPECT_NE(made.error().message.find("/nowhere/ca.pem"), std::string::npos);
}

}  // namespace
}  // namespace scistream::net
