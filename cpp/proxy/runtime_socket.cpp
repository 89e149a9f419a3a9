#include "proxy/runtime_socket.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <memory>
#include <utility>

namespace scistream::proxy {

namespace {

using boost::system::error_code;
using Protocol = boost::asio::local::stream_protocol;

/// Between two looks whether it listens; nothing tells.
constexpr std::chrono::milliseconds pause{10};

/// One question and its answer. Kept by its handlers.
class Question : public std::enable_shared_from_this<Question> {
 public:
  Question(boost::asio::io_context& context, std::string path, std::string command,
           std::weak_ptr<const void> asker, dataserver::Callback<std::string> done)
      : socket_(context),
        limit_(context),
        again_(context),
        path_(std::move(path)),
        command_(std::move(command)),
        asker_(std::move(asker)),
        done_(std::move(done)) {}

  void start(std::chrono::seconds limit) {
    limit_.expires_after(limit);
    limit_.async_wait([self = shared_from_this()](error_code ec) {
      if (!ec) self->finish(Error{Cause::timeout, "'" + self->path_ + "' does not answer"});
    });
    connect();
  }

 private:
  void connect() {
    if (asker_.expired()) return finish(Error{Cause::cancelled, "'" + path_ + "' is another's"});
    socket_.async_connect(Protocol::endpoint(path_), [self = shared_from_this()](error_code ec) {
      if (!self->done_) return;
      if (!ec) return self->write();
      self->socket_.close(ec);
      self->again_.expires_after(pause);
      self->again_.async_wait([self](error_code) {
        if (self->done_) self->connect();
      });
    });
  }

  void write() {
    boost::asio::async_write(
        socket_, boost::asio::buffer(command_), [self = shared_from_this()](error_code ec, auto) {
          if (ec) return self->finish(self->failed(ec));
          boost::asio::async_read(self->socket_,
                                  boost::asio::dynamic_buffer(self->answer_, most_answer),
                                  [self](error_code end, auto) {
                                    if (end && end != boost::asio::error::eof)
                                      return self->finish(self->failed(end));
                                    self->finish(std::move(self->answer_));
                                  });
        });
  }

  [[nodiscard]] Error failed(const error_code& ec) const {
    return {Cause::unavailable, "'" + path_ + "': " + ec.message()};
  }

  void finish(Result<std::string> result) {
    const auto done = std::exchange(done_, nullptr);
    if (!done) return;
    error_code ignored;
    socket_.close(ignored);
    limit_.cancel();
    again_.cancel();
    done(std::move(result));
  }

  static constexpr std::size_t most_answer = 16U << 20U;

  Protocol::socket socket_;
  boost::asio::steady_timer limit_;
  boost::asio::steady_timer again_;
  const std::string path_;
  const std::string command_;
  const std::weak_ptr<const void> asker_;
  std::string answer_;
  dataserver::Callback<std::string> done_;
};

}  // namespace

void ask_runtime(boost::asio::io_context& context, std::string path, std::string command,
                 std::chrono::seconds limit, std::weak_ptr<const void> asker,
                 dataserver::Callback<std::string> done) {
  auto question = std::make_shared<Question>(context, std::move(path), std::move(command),
                                             std::move(asker), std::move(done));
  boost::asio::post(context, [question, limit] { question->start(limit); });
}

}  // namespace scistream::proxy
