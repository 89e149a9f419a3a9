#include "dataserver/native.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <future>
#include <thread>
#include <utility>

#include "dataserver/native_sessions.hpp"

namespace scistream::dataserver {

namespace {

std::size_t thread_count(const NativeOptions& options) {
  return options.io_threads != 0 ? options.io_threads : std::thread::hardware_concurrency();
}

}  // namespace

NativeDataServer::NativeDataServer(NativeOptions options, Logger log)
    : own_threads_(std::make_unique<net::IoThreads>(thread_count(options))),
      bookkeeping_(1, "sci-s2ds"),
      sessions_(std::make_unique<Sessions>(bookkeeping_.at(0), *own_threads_, std::move(options),
                                           std::move(log))) {}

NativeDataServer::NativeDataServer(net::IoThreads& threads, NativeOptions options, Logger log)
    : bookkeeping_(1, "sci-s2ds"),
      sessions_(std::make_unique<Sessions>(bookkeeping_.at(0), threads, std::move(options),
                                           std::move(log))) {}

NativeDataServer::~NativeDataServer() {
  std::promise<void> ended;
  post([this, &ended](Sessions& sessions) {
    sessions.shut_down([this, &ended] {
      // Behind whatever the last callbacks asked for, so that it is answered too.
      post([&ended](Sessions&) { ended.set_value(); });
    });
  });
  ended.get_future().wait();
  bookkeeping_.stop();
}

template <class Work>
void NativeDataServer::post(Work work) {
  boost::asio::post(bookkeeping_.at(0), [sessions = sessions_.get(),
                                         work = std::move(work)]() mutable { work(*sessions); });
}

void NativeDataServer::info(Callback<Info> done) {
  post([done = std::move(done)](Sessions& sessions) { sessions.info(done); });
}

void NativeDataServer::reserve(const ReserveRequest& request, Callback<Reservation> done) {
  post([request, done = std::move(done)](Sessions& sessions) { sessions.reserve(request, done); });
}

void NativeDataServer::update(const UpdateRequest& request, Callback<void> done) {
  post([request, done = std::move(done)](Sessions& sessions) { sessions.update(request, done); });
}

void NativeDataServer::release(const SessionKey& session, Ending ending, Callback<void> done) {
  post([session, ending, done = std::move(done)](Sessions& sessions) mutable {
    sessions.release(session, ending, std::move(done));
  });
}

void NativeDataServer::status(const std::optional<SessionKey>& session,
                              Callback<std::vector<SessionStatus>> done) {
  post([session, done = std::move(done)](Sessions& sessions) { sessions.status(session, done); });
}

std::unique_ptr<Watch> NativeDataServer::watch(std::chrono::milliseconds period,
                                               std::function<void(const Event&)> observer) {
  auto [subscriber, watch] = Watchers::make(std::move(observer));
  post([subscriber = subscriber, period](Sessions& sessions) {
    sessions.watch(subscriber, period);
  });
  return std::move(watch);
}

}  // namespace scistream::dataserver
