#include "dataserver/machine.hpp"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace scistream::dataserver {
namespace {

TEST(DataServerMachine, WalksTheLifeOfASession) {
  Machine machine;
  const std::vector<std::pair<Input, State>> life{
      {Input::reserve, State::reserving}, {Input::reserved, State::idle},
      {Input::update, State::updating},   {Input::updated, State::idle},
      {Input::update, State::updating},   {Input::updated, State::idle},
      {Input::release, State::releasing}, {Input::released, State::idle}};
  for (const auto& [input, state] : life) {
    ASSERT_TRUE(machine.apply(input).ok()) << to_string(input);
    EXPECT_EQ(machine.state(), state);
  }
  EXPECT_FALSE(machine.holds_ports());
}

TEST(DataServerMachine, RefusesWithACauseAndStaysWhereItIs) {
  Machine machine;
  for (const Input input :
       {Input::reserved, Input::update, Input::updated, Input::release, Input::released}) {
    const Status status = machine.apply(input);
    ASSERT_FALSE(status.ok()) << to_string(input);
    EXPECT_EQ(status.error().cause, Cause::failed_precondition);
    EXPECT_EQ(machine.state(), State::idle);
  }
}

}  // namespace
}  // namespace scistream::dataserver
