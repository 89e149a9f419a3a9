#include "auth/audit.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>
#include <vector>

#include "base/file.hpp"
#include "net/sockets.hpp"
#include "support/temporary_directory.hpp"

namespace scistream::auth {
namespace {

using nlohmann::json;
using test::eventually;
using test::must;

std::vector<json> lines_of(const std::filesystem::path& path) {
  std::istringstream text(must(read_file(path)));
  std::vector<json> lines;
  for (std::string line; std::getline(text, line);) lines.push_back(json::parse(line));
  return lines;
}

AuditEntry entry(const std::string& session) {
  AuditEntry one;
  one.rpc = "req";
  one.session = session;
  one.from = "192.0.2.1";
  return one;
}

// Protocol: audit-lines
TEST(Audit, SaysWhoDidWhatFromWhereAndWhy) {
  Identity who;
  who.issuer = "https://auth.globus.org";
  who.subject = "1234";
  who.name = "alice";
  auto refused = entry("a");
  refused.who = &who;
  refused.why = "it is somebody else's";
  const auto line = json::parse(
      to_json(refused, std::chrono::system_clock::time_point(std::chrono::milliseconds(1))));
  EXPECT_EQ(line["time"], "1970-01-01T00:00:00.001Z");
  EXPECT_EQ(line["decision"], "refused");
  EXPECT_EQ(line["what"], "req");
  EXPECT_EQ(line["session"], "a");
  EXPECT_EQ(line["from"], "192.0.2.1");
  EXPECT_EQ(line["who"]["subject"], "1234");
  EXPECT_EQ(line["why"], "it is somebody else's");
  auto allowed = entry("a");
  allowed.decision = AuditEntry::Decision::allowed;
  const auto other = json::parse(to_json(allowed, {}));
  EXPECT_EQ(other["decision"], "allowed");
  EXPECT_TRUE(other["who"].is_null());
  EXPECT_FALSE(other.contains("why"));
}

// Protocol: audit-one-line
TEST(Audit, NothingThatACallerSaysBreaksALine) {
  const std::string nasty =
      "a\n{\"decision\": \"allowed\"}\r\x1b[2J\xff\xc0 " + std::string(9000, 'x');
  const std::string line = to_json(entry(nasty), {});
  EXPECT_EQ(line.find_first_of("\n\r\x1b"), std::string::npos);
  EXPECT_LT(line.size(), 4096U);
  EXPECT_EQ(json::parse(line)["decision"], "refused");
}

// Protocol: audit-lines
TEST(Audit, IsPrivateAndAppendedTo) {
  const TemporaryDirectory directory;
  const auto path = directory.path() / "audit.jsonl";
  must(FileAudit::open(path, null_logger()))->record(entry("a"));
  must(FileAudit::open(path, null_logger()))->record(entry("b"));
  const auto lines = lines_of(path);
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[1]["session"], "b");
  struct stat info{};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0600U);
}

TEST(Audit, GoesOnInANewFileWhereTheOldOneWasMovedAway) {
  const TemporaryDirectory directory;
  const auto path = directory.path() / "audit.jsonl";
  const auto audit = must(FileAudit::open(path, null_logger()));
  audit->record(entry("a"));
  std::filesystem::rename(path, directory.path() / "old");
  audit->record(entry("b"));
  ASSERT_TRUE(audit->reopen().ok());
  audit->record(entry("c"));
  EXPECT_EQ(lines_of(directory.path() / "old").size(), 2U);
  EXPECT_EQ(lines_of(path).at(0)["session"], "c");
}

TEST(Audit, LinesOfManyThreadsDoNotMix) {
  const TemporaryDirectory directory;
  const auto path = directory.path() / "audit.jsonl";
  const auto audit = must(FileAudit::open(path, null_logger()));
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (int each = 0; each < 200; ++each) {
        auto one = entry(std::string(300, 'x'));
        one.decision = AuditEntry::Decision::allowed;
        audit->record(one);
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(lines_of(path).size(), 800U);
}

// Protocol: audit-strangers
TEST(Audit, RefusalsOfStrangersAreCountedRatherThanKept) {
  const TemporaryDirectory directory;
  const auto path = directory.path() / "audit.jsonl";
  const auto audit = must(FileAudit::open(path, null_logger()));
  for (int i = 0; i < 1'000; ++i) audit->record(entry("a"));
  EXPECT_LT(lines_of(path).size(), 200U);
  Identity who;
  auto known = entry("b");
  known.who = &who;
  auto other = entry("c");
  other.from = "192.0.2.2";
  audit->record(known);
  audit->record(other);
  auto lines = lines_of(path);
  const auto before = lines.size();
  ASSERT_GE(before, 2U);
  EXPECT_EQ(lines[before - 2]["session"], "b");
  EXPECT_EQ(lines[before - 1]["session"], "c");
  ASSERT_TRUE(eventually([&] {
    audit->record(entry("d"));
    return lines_of(path).size() > before;
  }));
  EXPECT_GT(lines_of(path).back()["omitted"], 500);
}

// Protocol: audit-strangers
TEST(Audit, WhatAUserMayDoIsKeptHoweverMuchItIs) {
  const TemporaryDirectory directory;
  const auto path = directory.path() / "audit.jsonl";
  const auto audit = must(FileAudit::open(path, null_logger()));
  Identity who;
  who.subject = "alice";
  auto one = entry("a");
  one.who = &who;
  one.decision = AuditEntry::Decision::allowed;
  for (int i = 0; i < 300; ++i) audit->record(one);
  EXPECT_EQ(lines_of(path).size(), 300U);
  one.decision = AuditEntry::Decision::refused;
  for (int i = 0; i < 300; ++i) audit->record(one);
  EXPECT_LT(lines_of(path).size(), 500U) << "what a user is refused is counted";
  auto stranger = entry("b");
  stranger.is_stranger = true;
  stranger.decision = AuditEntry::Decision::allowed;
  const auto before = lines_of(path).size();
  for (int i = 0; i < 300; ++i) audit->record(stranger);
  EXPECT_LT(lines_of(path).size(), before + 200) << "and what somebody unknown is let try";
}

TEST(Audit, APlaceThatCannotBeWrittenIsNamed) {
  const auto opened = FileAudit::open("/nowhere/at/all/audit.jsonl", null_logger());
  ASSERT_FALSE(opened.ok());
  EXPECT_NE(opened.error().message.find("/nowhere/at/all/audit.jsonl"), std::string::npos);
}

}  // namespace
}  // namespace scistream::auth
