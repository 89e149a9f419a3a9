#include "session/machine.hpp"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

namespace scistream::session {
namespace {

constexpr Input all_inputs[] = {
    Input::request, Input::reserved,      Input::reserve_failed, Input::hello,  Input::update,
    Input::updated, Input::update_failed, Input::release,        Input::expire, Input::released};

TEST(SessionMachine, WalksTheLifeOfASession) {
  Machine machine;
  const std::vector<std::tuple<Input, State, std::vector<Action>>> life{
      {Input::request, State::reserving, {Action::reserve_listeners}},
      {Input::reserved, State::listening, {Action::await_hello}},
      {Input::hello, State::idle, {Action::answer_request, Action::await_update}},
      {Input::update, State::updating, {Action::set_targets}},
      {Input::updated, State::idle, {Action::answer_update, Action::become_ready}},
      {Input::update, State::updating, {Action::set_targets}},
      {Input::updated, State::idle, {Action::answer_update}},
      {Input::release, State::releasing, {Action::release_listeners}},
      {Input::released, State::idle, {Action::return_leases, Action::end}}};
  for (const auto& [input, state, actions] : life) {
    const auto result = machine.apply(input);
    ASSERT_TRUE(result.ok()) << to_string(input);
    EXPECT_EQ(*result, actions) << to_string(input);
    EXPECT_EQ(machine.state(), state) << to_string(input);
  }
  EXPECT_EQ(machine.phase(), Phase::ended);
}

/// Every transition of PROTOCOL §3, and no other, for every state a session can be in.
TEST(SessionMachine, TakesExactlyTheTransitionsOfTheProtocol) {
  const std::map<std::string, std::pair<std::vector<Input>, std::map<Input, State>>> table{
      {"fresh", {{}, {{Input::request, State::reserving}}}},
      {"reserving",
       {{Input::request},
        {{Input::reserved, State::listening},
         {Input::reserve_failed, State::releasing},
         {Input::release, State::releasing},
         {Input::expire, State::releasing}}}},
      {"listening",
       {{Input::request, Input::reserved},
        {{Input::hello, State::idle},
         {Input::release, State::releasing},
         {Input::expire, State::releasing}}}},
      {"waits for update",
       {{Input::request, Input::reserved, Input::hello},
        {{Input::hello, State::idle},
         {Input::update, State::updating},
         {Input::release, State::releasing},
         {Input::expire, State::releasing}}}},
      {"updating",
       {{Input::request, Input::reserved, Input::hello, Input::update},
        {{Input::hello, State::updating},
         {Input::updated, State::idle},
         {Input::update_failed, State::releasing},
         {Input::release, State::releasing},
         {Input::expire, State::releasing}}}},
      {"ready",
       {{Input::request, Input::reserved, Input::hello, Input::update, Input::updated},
        {{Input::hello, State::idle},
         {Input::update, State::updating},
         {Input::release, State::releasing},
         {Input::expire, State::releasing}}}},
      {"releasing", {{Input::request, Input::release}, {{Input::released, State::idle}}}},
      {"ended", {{Input::request, Input::release, Input::released}, {}}}};
  for (const auto& [name, row] : table) {
    for (const Input input : all_inputs) {
      Machine machine;
      for (const Input step : row.first) ASSERT_TRUE(machine.apply(step).ok()) << name;
      const State before = machine.state();
      const auto result = machine.apply(input);
      const auto allowed = row.second.find(input);
      ASSERT_EQ(result.ok(), allowed != row.second.end()) << name << " + " << to_string(input);
      EXPECT_EQ(machine.state(), result ? allowed->second : before)
          << name << " + " << to_string(input);
      if (result) continue;
      EXPECT_EQ(result.error().cause, Cause::failed_precondition);
    }
  }
}

/// Random events, duplicates and reorderings included, to several sessions at once.
TEST(SessionMachine, AnyEventsEndIdleWithEveryLeaseReturnedOnce) {
  struct Tracked {
    Machine machine;
    int reserved = 0;
    int returned = 0;
  };
  const auto feed = [](Tracked& session, Input input) {
    const State before = session.machine.state();
    const auto actions = session.machine.apply(input);
    if (!actions) {
      RC_ASSERT(session.machine.state() == before);
      return;
    }
    for (const Action action : *actions) {
      session.reserved += action == Action::reserve_listeners ? 1 : 0;
      session.returned += action == Action::return_leases ? 1 : 0;
    }
  };
  EXPECT_TRUE(rc::check([&] {
    std::vector<Tracked> sessions(3);
    const auto events = *rc::gen::container<std::vector<std::pair<std::size_t, std::size_t>>>(
        rc::gen::pair(rc::gen::inRange<std::size_t>(0, 3),
                      rc::gen::inRange<std::size_t>(0, std::size(all_inputs))));
    for (const auto& [which, input] : events) {
      std::vector<std::pair<State, Phase>> others;
      for (const Tracked& session : sessions)
        others.emplace_back(session.machine.state(), session.machine.phase());
      feed(sessions[which], all_inputs[input]);
      for (std::size_t i = 0; i < sessions.size(); ++i) {
        if (i == which) continue;
        RC_ASSERT(sessions[i].machine.state() == others[i].first);
        RC_ASSERT(sessions[i].machine.phase() == others[i].second);
      }
    }
    for (Tracked& session : sessions) {
      feed(session, Input::release);
      feed(session, Input::released);
      RC_ASSERT(session.machine.state() == State::idle);
      RC_ASSERT(session.returned == session.reserved);
      RC_ASSERT(session.returned <= 1);
    }
  }));
}

}  // namespace
}  // namespace scistream::session
