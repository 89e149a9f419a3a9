// The S2DS machine under any order of inputs, duplicates included.
#include <gtest/gtest.h>

// Older than -Wconversion and -Wextra as they are used here.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#include <rapidcheck.h>
#pragma GCC diagnostic pop

#include <algorithm>
#include <vector>

#include "dataserver/machine.hpp"

namespace scistream::dataserver {
namespace {

constexpr Input inputs[] = {Input::reserve, Input::reserved, Input::update,
                            Input::updated, Input::release,  Input::released};

std::vector<Input> any_inputs() {
  return *rc::gen::container<std::vector<Input>>(
      rc::gen::elementOf(std::vector<Input>(std::begin(inputs), std::end(inputs))));
}

/// A life as the control server means it, before the network has had its way with it.
std::vector<Input> a_life() {
  std::vector<Input> life{Input::reserve, Input::reserved};
  for (int updates = *rc::gen::inRange(0, 4); updates > 0; --updates) {
    life.insert(life.end(), {Input::update, Input::updated});
  }
  life.insert(life.end(), {Input::release, Input::released});
  return life;
}

/// A life with inputs repeated and swapped with their neighbours.
std::vector<Input> a_disturbed_life() {
  std::vector<Input> life = a_life();
  for (int n = *rc::gen::inRange(0, 8); n > 0; --n) {
    const auto at = static_cast<std::size_t>(*rc::gen::inRange(0, static_cast<int>(life.size())));
    const Input input = life[at];
    if (*rc::gen::arbitrary<bool>()) {
      life.insert(life.begin() + static_cast<std::ptrdiff_t>(at), input);
    } else if (at + 1 < life.size()) {
      std::swap(life[at], life[at + 1]);
    }
  }
  return life;
}

/// Follows a machine and counts how often ports were taken and returned.
struct Followed {
  Machine machine;
  int taken = 0;
  int returned = 0;

  void apply(Input input) {
    const State before = machine.state();
    const bool held = machine.holds_ports();
    const bool accepted = machine.apply(input).ok();
    if (!accepted) {
      RC_ASSERT(machine.state() == before);
      RC_ASSERT(machine.holds_ports() == held);
      return;
    }
    RC_ASSERT(machine.state() != before);
    if (!held && machine.holds_ports()) ++taken;
    if (held && !machine.holds_ports()) ++returned;
    // Ports come with `reserved` and go with `released`, by no other way.
    RC_ASSERT(held == machine.holds_ports() || input == Input::reserved ||
              input == Input::released);
    RC_ASSERT(machine.state() != State::updating || machine.holds_ports());
  }
  void apply(const std::vector<Input>& all) {
    for (const Input input : all) apply(input);
  }
};

void expect(bool holds) { EXPECT_TRUE(holds); }

TEST(DataServerMachineProperty, ReleaseAndReleasedEndEveryPathIdleWithPortsReturnedOnce) {
  expect(rc::check([] {
    Followed followed;
    followed.apply(any_inputs());
    followed.apply({Input::release, Input::released});
    RC_ASSERT(followed.machine.state() == State::idle);
    RC_ASSERT(!followed.machine.holds_ports());
    RC_ASSERT(followed.taken == followed.returned);
    followed.apply({Input::release, Input::released});
    RC_ASSERT(followed.taken == followed.returned);
  }));
}

TEST(DataServerMachineProperty, DisturbedLivesEndIdleWithPortsReturnedOnce) {
  expect(rc::check([] {
    Followed followed;
    followed.apply(a_disturbed_life());
    followed.apply({Input::release, Input::released});
    RC_ASSERT(followed.machine.state() == State::idle);
    RC_ASSERT(followed.taken == followed.returned);
  }));
}

TEST(DataServerMachineProperty, PortsAreNeverHeldTwiceNorReturnedUnheld) {
  expect(rc::check([] {
    Followed followed;
    for (const Input input : any_inputs()) {
      followed.apply(input);
      const int held = followed.taken - followed.returned;
      RC_ASSERT(held == (followed.machine.holds_ports() ? 1 : 0));
    }
  }));
}

TEST(DataServerMachineProperty, AReleasedSessionMayLiveAgain) {
  expect(rc::check([] {
    Followed followed;
    followed.apply(any_inputs());
    followed.apply({Input::release, Input::released});
    for (const Input input : a_life()) RC_ASSERT(followed.machine.apply(input).ok());
    RC_ASSERT(followed.machine.state() == State::idle);
  }));
}

}  // namespace
}  // namespace scistream::dataserver
