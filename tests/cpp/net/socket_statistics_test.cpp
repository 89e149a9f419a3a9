#include "net/socket_statistics.hpp"

#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "net/sockets.hpp"

namespace scistream::net {
namespace {

using namespace test;

class SocketStatisticsTest : public ::testing::TestWithParam<const char*> {};

TEST_P(SocketStatisticsTest, CountWhatWentEitherWay) {
  const Fd listener = must(bind_tcp(address_of({GetParam(), 0})));
  must(listen_tcp(listener.get(), 16));
  const Endpoint place = to_endpoint(must(bound_address(listener.get())));
  const auto of_this = [&](std::uint16_t port) { return port == place.port; };
  EXPECT_TRUE(must(tcp_connections(of_this)).empty());  // a listener is no connection

  const Fd first = connect_to(place);
  const Fd second = connect_to(place);
  std::vector<Fd> accepted;  // in the order they came
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(poll_for(listener.get(), POLLIN), 1);
    accepted.emplace_back(::accept(listener.get(), nullptr, nullptr));
    ASSERT_TRUE(accepted.back());
  }
  const std::string bytes = pattern(100'000, 1);
  send_all(first.get(), bytes);
  EXPECT_TRUE(receive(accepted[0].get(), bytes.size()).bytes == bytes);
  send_all(accepted[0].get(), "answer");
  EXPECT_EQ(receive(first.get(), 6).bytes, "answer");

  const auto name_of = [](const Fd& socket) {
    return to_string(to_endpoint(must(bound_address(socket.get()))));
  };
  std::map<std::string, SocketStatistics> found;
  // An acknowledgement may still be under way.
  EXPECT_TRUE(eventually([&] {
    found.clear();
    for (auto& each : must(tcp_connections(of_this))) found[to_string(each.peer)] = each;
    return found[name_of(first)].bytes_acknowledged == 6;
  }));
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[name_of(first)].bytes_received, bytes.size());
  EXPECT_EQ(to_string(found[name_of(first)].local), to_string(place));
  EXPECT_EQ(found[name_of(second)].bytes_received, 0U);
  EXPECT_NE(found[name_of(first)].id, found[name_of(second)].id);

  // The end of a direction is no byte.
  const auto after_ends = [&](std::uint64_t received, std::uint64_t acknowledged) {
    found.clear();
    for (auto& each : must(tcp_connections(of_this))) found[to_string(each.peer)] = each;
    const auto& one = found[name_of(first)];
    return one.bytes_received == received && one.bytes_acknowledged == acknowledged;
  };
  half_close(first.get());
  EXPECT_TRUE(receive(accepted[0].get()).bytes.empty());
  EXPECT_TRUE(after_ends(bytes.size(), 6));
  EXPECT_EQ(found.size(), 2U);  // one direction goes on
  half_close(accepted[1].get());
  EXPECT_TRUE(receive(second.get()).bytes.empty());
  EXPECT_TRUE(eventually([&] {
    for (const auto& each : must(tcp_connections(of_this)))
      if (to_string(each.peer) == name_of(second)) return each.bytes_acknowledged == 0;
    return false;
  }));
  // Nor is its beginning, for who connected.
  const auto client_port = must(bound_address(second.get())).port();
  EXPECT_EQ(must(tcp_connections([&](std::uint16_t port) { return port == client_port; }))
                .at(0)
                .bytes_acknowledged,
            0U);
  accepted.clear();
  EXPECT_TRUE(eventually([&] { return must(tcp_connections(of_this)).size() <= 1; }));
}

INSTANTIATE_TEST_SUITE_P(Families, SocketStatisticsTest, ::testing::Values("127.0.0.1", "::1"),
                         [](const auto& host) {
                           return std::string(host.param) == "::1" ? "six" : "four";
                         });

TEST(SocketStatistics, ManyConnectionsComeInSeveralAnswers) {
  const Fd listener = must(bind_tcp(address_of({"127.0.0.1", 0})));
  must(listen_tcp(listener.get(), 1024));
  const Endpoint place = to_endpoint(must(bound_address(listener.get())));
  const auto here = [&] {
    return must(tcp_connections([&](std::uint16_t port) { return port == place.port; })).size();
  };
  std::vector<Fd> clients;
  for (int i = 0; i < 500; ++i) clients.push_back(connect_to(place));
  EXPECT_EQ(here(), 0U);  // nobody has taken them yet
  std::vector<Fd> accepted;
  for (std::size_t i = 0; i < clients.size(); ++i) {
    ASSERT_EQ(poll_for(listener.get(), POLLIN), 1);
    accepted.emplace_back(::accept(listener.get(), nullptr, nullptr));
  }
  EXPECT_EQ(here(), clients.size());
  // Closed here, and not there: the kernel has them still.
  accepted.clear();
  EXPECT_EQ(here(), 0U);
}

}  // namespace
}  // namespace scistream::net
