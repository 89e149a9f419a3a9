#include "dataserver/local.hpp"

#include <boost/asio/post.hpp>
#include <future>
#include <utility>

#include "dataserver/sessions.hpp"

namespace scistream::dataserver {

LocalDataServer::LocalDataServer(const Make& make, Logger log)
    : bookkeeping_(1, "sci-s2ds"),
      sessions_(std::make_unique<Sessions>(bookkeeping_.at(0), make(bookkeeping_.at(0)),
                                           std::move(log))) {}

LocalDataServer::~LocalDataServer() {
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
void LocalDataServer::post(Work work) {
  boost::asio::post(bookkeeping_.at(0), [sessions = sessions_.get(),
                                         work = std::move(work)]() mutable { work(*sessions); });
}

void LocalDataServer::info(Callback<Info> done) {
  post([done = std::move(done)](Sessions& sessions) { sessions.info(done); });
}

void LocalDataServer::reserve(const ReserveRequest& request, Callback<Reservation> done) {
  post([request, done = std::move(done)](Sessions& sessions) mutable {
    sessions.reserve(request, std::move(done));
  });
}

void LocalDataServer::update(const UpdateRequest& request, Callback<void> done) {
  post([request, done = std::move(done)](Sessions& sessions) { sessions.update(request, done); });
}

void LocalDataServer::release(const SessionKey& session, Ending ending, Callback<Released> done) {
  post([session, ending, done = std::move(done)](Sessions& sessions) mutable {
    sessions.release(session, ending, std::move(done));
  });
}

void LocalDataServer::hurry() {
  post([](Sessions& sessions) { sessions.hurry(); });
}

void LocalDataServer::status(const std::optional<SessionKey>& session,
                             Callback<std::vector<SessionStatus>> done) {
  post([session, done = std::move(done)](Sessions& sessions) { sessions.status(session, done); });
}

std::unique_ptr<Watch> LocalDataServer::watch(std::chrono::milliseconds period,
                                              std::function<void(const Event&)> observer) {
  auto [subscriber, watch] = Watchers::make(std::move(observer));
  post([subscriber = subscriber, period](Sessions& sessions) {
    sessions.watch(subscriber, period);
  });
  return std::move(watch);
}

}  // namespace scistream::dataserver
