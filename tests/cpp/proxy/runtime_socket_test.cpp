// Questions to a program that comes and goes.
#include "proxy/runtime_socket.hpp"

#include <gtest/gtest.h>

#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>
#include <optional>

#include "net/sockets.hpp"
#include "support/temporary_directory.hpp"

namespace scistream::proxy {
namespace {

using namespace test;
using Protocol = boost::asio::local::stream_protocol;

class RuntimeSocket : public ::testing::Test {
 protected:
  void ask() {
    ask_runtime(context_, path(), "which\n", std::chrono::seconds(10), asker_,
                [this](Result<std::string> answer) { answer_.emplace(std::move(answer)); });
  }
  [[nodiscard]] std::string path() const { return folder_.path() / "socket"; }
  /// Until the question has been answered.
  void run() {
    while (!answer_) context_.run_one();
  }

  TemporaryDirectory folder_;
  boost::asio::io_context context_;
  std::shared_ptr<int> asker_ = std::make_shared<int>();
  std::optional<Result<std::string>> answer_;
};

TEST_F(RuntimeSocket, AProgramThatDoesNotListenYetIsAskedWhenItDoes) {
  ask();
  context_.run_for(50ms);
  EXPECT_FALSE(answer_);
  Protocol::acceptor program(context_, Protocol::endpoint(path()));
  Protocol::socket connection(context_);
  std::string question;
  program.async_accept(connection, [&](auto) {
    boost::asio::async_read_until(
        connection, boost::asio::dynamic_buffer(question), '\n', [&](auto, auto) {
          boost::asio::write(connection, boost::asio::buffer("this one", 8));
          connection.close();
        });
  });
  run();
  EXPECT_EQ(question, "which\n");
  EXPECT_EQ(must(*answer_), "this one");
}

TEST_F(RuntimeSocket, TheNextRunOfAProgramIsNotAskedWhatWasMeantForTheOneBefore) {
  ask();
  context_.run_for(50ms);
  asker_.reset();
  Protocol::acceptor next(context_, Protocol::endpoint(path()));
  next.non_blocking(true);
  run();
  EXPECT_EQ(answer_->error().cause, Cause::cancelled);
  boost::system::error_code nobody;
  Protocol::socket connection(context_);
  next.accept(connection, nobody);
  EXPECT_EQ(nobody, boost::asio::error::would_block);
}

}  // namespace
}  // namespace scistream::proxy
