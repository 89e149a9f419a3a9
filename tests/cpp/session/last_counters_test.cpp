// What the end of a session says of all that went through it.
#include "session/manager_fixture.hpp"

namespace scistream::session {
namespace {

class LastCounters : public ManagerTest {
 protected:
  /// To the consumer of session `a`, as its last event says.
  std::uint64_t told_ = 0;
  std::shared_ptr<void> watch_ =
      manager->watch({"a"}, seconds(1), by, [this](const SessionEvent& event) {
        if (event.kind == SessionEvent::Kind::gone)
          told_ = event.session.counters.bytes_to_consumer;
      });
};

// Protocol: last-counters
TEST_F(LastCounters, TheEndOfASessionTellsWhatWentThroughItThoughNoNewsOfItCame) {
  set_up("a");
  data_server->counters.bytes_to_consumer = 1000;
  ASSERT_TRUE(release("a")->ok());
  EXPECT_EQ(told_, 1000U);
}

TEST_F(LastCounters, WhatWasGivenBackUnheardIsCountedOnTopOfWhatWentBefore) {
  set_up("a");
  data_server->counters.bytes_to_consumer = 1000;
  EXPECT_EQ(list({"a"}).front().counters.bytes_to_consumer, 1000U);
  ++data_server->reservations[{"a", Role::producer}];
  data_server->counters.bytes_to_consumer = 50;
  ASSERT_TRUE(release("a")->ok());
  EXPECT_EQ(told_, 1050U);
}

TEST_F(LastCounters, WhatADataServerEndedByItselfKeepsItsCounters) {
  set_up("a");
  dataserver::Event gone;
  gone.kind = dataserver::Event::Kind::gone;
  gone.status.session = {"a", Role::producer};
  gone.status.reservation = data_server->reservations[gone.status.session];
  gone.status.counters.bytes_to_consumer = 500;
  data_server->held.clear();  // its release answers that there is none
  data_server->observe(gone);
  time.run();
  EXPECT_TRUE(list({"a"}).empty());
  EXPECT_EQ(told_, 500U);
}

}  // namespace
}  // namespace scistream::session
