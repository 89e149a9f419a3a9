#include "proxy/haproxy_answers.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace scistream::proxy {
namespace {

/// As `show sess all` tells of a connection, as far as that is read.
std::string connection(const std::string& name, const std::string& client,
                       const std::string& target, int to_target, int to_client) {
  return name +
         ": [22/Nov/2026:12:48:17.593506] id=7 proto=tcpv4 source=127.0.0.1:48234\n"
         "  backend=0 (id=2 mode=tcp) addr=127.0.0.1:50836\n"
         "  scf=0x55d9e3b9b500 flags=0x00000200 state=" +
         client +
         " endp=CONN,0x55d9e3c2b7b0,0x00850a01 sub=0\n"
         "      co0=0x7f48dc027cf0 ctrl=tcpv4 xprt=RAW mux=PASS\n"
         "  scb=0x55d9e3b9b710 flags=0x00000201 state=" +
         target +
         " endp=CONN,0x55d9e3c2c840,0x001c0001 sub=2\n"
         "  req=0x55d9e3c2b8c0 (f=0x87c028 an=0x0 pipe=0 tofwd=-1 total=1310)\n"
         "      buf=0x55d9e3c2b8c8 data=0x7f48e0e8b010 o=" +
         std::to_string(to_target) +
         " p=12 i=0 size=131072\n"
         "  res=0x55d9e3c2b920 (f=0x8007a860 an=0x0 pipe=0 tofwd=-1 total=4125)\n"
         "      buf=0x55d9e3c2b928 data=0x55d9e3c2d960 o=" +
         std::to_string(to_client) + " p=62 i=0 size=131072\n";
}

/// Of the connection that asks.
const std::string asking =
    "0x9: [22/Nov/2026:12:48:27.166217] id=29 proto=unix_stream source=unix:1\n"
    "  scf=0x55d9e3a4c260 flags=0x00000200 state=EST endp=CONN,0x55d9e3c2a4a0,0x028c0001 sub=1\n"
    "  res=0x55d9e3b68390 (f=0x80008002 an=0x0 pipe=0 tofwd=-1 total=1345)\n";

TEST(HaproxyAnswers, StuckIsWhatHasBytesForASideThatHasGone) {
  const auto sessions = sessions_in(
      connection("0x1", "EST", "EST", 131072, 131072) +  // slow readers
      connection("0x2", "CLO", "EST", 131072, 0) +       // the rest goes on to the target
      connection("0x3", "CLO", "EST", 131072, 4) + connection("0x4", "EST", "CLO", 0, 131072) +
      connection("0x5", "EST", "CLO", 9, 0) + asking + "\n\n");
  ASSERT_TRUE(sessions.ok());
  EXPECT_EQ(sessions->count, 5U);
  const Moved moved{1310, 4125};
  EXPECT_EQ(sessions->stuck, (std::map<std::string, Moved>{{"0x3", moved}, {"0x5", moved}}));
}

TEST(HaproxyAnswers, SessionsOfAnAnswerThatIsCutAreNotKnown) {
  const std::string whole = connection("0x1", "CLO", "EST", 0, 5) + asking + "\n\n";
  EXPECT_TRUE(sessions_in(whole).ok());
  for (std::size_t size = 0; size + 1 < whole.size(); ++size)
    EXPECT_FALSE(sessions_in(whole.substr(0, size)).ok()) << size;
  EXPECT_EQ(sessions_in("\n\n")->count, 0U);
}

const std::string table =
    "# pxname,svname,scur,stot,bin,bout,econ,cli_abrt,srv_abrt,\n"
    "0,FRONTEND,1,3,100,20,,,,\n"
    "0,BACKEND,1,3,100,20,1,2,3,\n"
    "1,FRONTEND,2,4,1,2,,,,\n"
    "1,BACKEND,2,4,1,2,0,0,1,\n\n";

TEST(HaproxyAnswers, CountersAreSumsOverListeners) {
  const auto counters = counters_in(table);
  ASSERT_TRUE(counters.ok());
  EXPECT_EQ(counters->bytes_to_producer, 101U);
  EXPECT_EQ(counters->bytes_to_consumer, 22U);
  EXPECT_EQ(counters->connections_active, 3U);
  EXPECT_EQ(counters->connections_total, 7U);
  EXPECT_EQ(counters->errors, 7U);
}

TEST(HaproxyAnswers, CountersOfAnAnswerThatIsCutAreNotKnown) {
  for (std::size_t size = 0; size < table.size(); ++size)
    EXPECT_FALSE(counters_in(table.substr(0, size)).ok()) << size;
  EXPECT_FALSE(counters_in("Permission denied\n\n").ok());
}

}  // namespace
}  // namespace scistream::proxy
