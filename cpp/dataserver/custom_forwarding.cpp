#include "dataserver/custom_forwarding.hpp"

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <cctype>
#include <set>
#include <utility>

#include "base/clock.hpp"
#include "base/seldom.hpp"
#include "base/text.hpp"
#include "dataserver/local.hpp"
#include "scistream/version.hpp"

namespace scistream::dataserver {

namespace {

constexpr std::size_t longest_kind = 64;
constexpr std::size_t longest_message = 512;
constexpr std::chrono::milliseconds between_looks{500};

Status check_kind(const std::string& kind) {
  const bool is_plain = std::all_of(kind.begin(), kind.end(), [](unsigned char each) {
    return std::isalnum(each) != 0 || each == '-' || each == '_' || each == '.';
  });
  if (!kind.empty() && kind.size() <= longest_kind && is_plain) return {};
  return Error{Cause::invalid_argument,
               "the kind of a data server is 1 to 64 letters, digits, "
               "'-', '_' or '.', not '" +
                   shown(kind) + "'"};
}

Status check_transports(const std::vector<std::string>& transports) {
  const bool are_known = std::all_of(
      transports.begin(), transports.end(),
      [](const std::string& each) { return each == transport::tcp || each == transport::tls; });
  if (!transports.empty() && are_known) return {};
  return Error{Cause::invalid_argument,
               "the transports of a data server are tcp, tls or both, not '" +
                   shown(listed(transports)) + "'"};
}

/// What it says of itself.
Result<Info> facts_of(v0::DataServer& own) {
  auto info = net::caught<Info>([&own]() -> Result<Info> {
    return Info{own.kind(), std::string(version()), own.transports(), 0};
  });
  if (!info) return info;
  if (Status valid = check_kind(info->kind); !valid) return valid.error();
  if (Status valid = check_transports(info->transports); !valid) return valid.error();
  return info;
}

Status check_ports(const std::vector<std::uint16_t>& ports, const ListenRequest& request) {
  const std::set<std::uint16_t> different(ports.begin(), ports.end());
  const bool has_all = ports.size() == static_cast<std::size_t>(request.num_conn) &&
                       different.size() == ports.size() && !different.contains(0);
  if (!has_all) {
    return Error{Cause::failure,
                 "the data server was asked for " +
                     counted(static_cast<std::uint64_t>(request.num_conn), "listener") +
                     ", and has " + counted(different.size(), "port")};
  }
  if (!request.exact_ports.empty() && ports != request.exact_ports)
    return Error{Cause::failure, "the data server has other ports than those it was asked for"};
  return {};
}

ListenRequest public_form(const ReserveRequest& request) {
  return {request.session,     request.num_conn,  request.bind_host,     request.ports,
          request.exact_ports, request.datagrams, request.proxy_protocol};
}

ForwardRequest public_form(const UpdateRequest& request) {
  return {request.targets,
          request.transport,
          request.data_key,
          request.rate.mbps,
          request.rate.leased,
          request.rate.capacity_mbps,
          [allowed = request.allowed](const std::string& address, std::uint16_t port) {
            boost::system::error_code none;
            const auto parsed = boost::asio::ip::make_address(address, none);
            return !none && allowed.permit(parsed, port);
          }};
}

}  // namespace

/// One session of it. Lives on the bookkeeping thread.
class CustomForwarding::CustomForwarder final : public Forwarder {
 public:
  CustomForwarder(CustomForwarding& forwarding, std::string host, Opened opened)
      : forwarding_(forwarding),
        host_(std::move(host)),
        ports_(std::move(opened.ports)),
        shared_(std::move(opened.shared)) {
    for (const std::uint16_t port : ports_) forwarding_.taken_.insert({host_, port});
    look();
  }

  ~CustomForwarder() override {
    give_ports_back();
    // Where code of users may run.
    forwarding_.code_.drop(std::move(shared_));
  }

  [[nodiscard]] std::vector<std::uint16_t> ports() const override { return ports_; }

  void update(const UpdateRequest& request, Callback<void> done) override {
    forwarding_.code_.ask<Nothing>(
        {"its forward", forwarding_.limits_.answer,
         [channel = shared_, wanted = public_form(request)]() -> Result<Nothing> {
           const Status status = channel->forward(wanted);
           if (!status) return status.error();
           return Nothing();
         },
         [this, alive = std::weak_ptr(alive_),
          done = std::move(done)](const Result<Nothing>& result) {
           if (result || !alive.lock()) return done(result ? Status() : Status(result.error()));
           done(forwarding_.named(result.error()));
         },
         nullptr});
  }

  void end(Ending how, std::function<void()> done) override {
    if (done) ended_ = std::move(done);
    // From here on its listeners may be closed, and their ports another session's.
    give_ports_back();
    if (how == Ending::drain) return drain();
    forwarding_.code_.ask<Nothing>(
        {"its cut", forwarding_.limits_.cut,
         [channel = shared_] {
           channel->cut();
           return Result<Nothing>(Nothing());
         },
         [this, alive = std::weak_ptr(alive_)](const Result<Nothing>& cut) {
           if (alive.lock()) over(cut);
         },
         nullptr});
  }

  void refresh(std::function<void()> done) override {
    if (is_over_) return done();
    waiting_.push_back(std::move(done));
    look();
  }

  /// As it was a moment ago.
  [[nodiscard]] Counters counters() const override {
    return {traffic_.bytes_to_consumer,
            traffic_.bytes_to_producer,
            traffic_.connections_active,
            traffic_.connections_total,
            traffic_.errors,
            traffic_.refused,
            std::chrono::duration_cast<std::chrono::milliseconds>(clock_.now() - changed_)};
  }

  /// As they were when somebody last asked for a refresh.
  [[nodiscard]] std::vector<ConnectionStatus> connections() const override {
    std::vector<ConnectionStatus> all;
    all.reserve(connections_.size());
    for (const Connection& each : connections_) {
      all.push_back({each.id, each.port, shown(each.peer, 260), shown(each.target, 260),
                     each.bytes_to_consumer, each.bytes_to_producer, std::chrono::milliseconds(0)});
    }
    return all;
  }

 private:
  struct Nothing {};

  void give_ports_back() {
    if (std::exchange(has_ports_, false))
      for (const std::uint16_t port : ports_) forwarding_.taken_.erase({host_, port});
  }

  /// For as long as it takes.
  void drain() {
    const bool is_under_way = forwarding_.code_.ask_at_leisure<Nothing>(
        [channel = shared_]() -> Result<Nothing> {
          channel->drain();
          return Nothing();
        },
        [this, alive = std::weak_ptr(alive_)](const Result<Nothing>& drained) {
          if (alive.lock()) over(drained);
        });
    if (!is_under_way) end(Ending::cut, {});
  }

  /// Once: a drain that is cut returns as well.
  void over(const Result<Nothing>& how) {
    if (std::exchange(is_over_, true)) return;
    next_look_.cancel();
    if (!how) {
      forwarding_.log_->error("a data server of kind {} did not end a session cleanly: {}",
                              forwarding_.info_.kind, how.error().message);
    }
    forwarding_.code_.ask<Traffic>(
        {"its traffic", forwarding_.limits_.traffic,
         [channel = shared_] { return Result<Traffic>(channel->traffic()); },
         [this, alive = std::weak_ptr(alive_)](const Result<Traffic>& last) {
           if (!alive.lock()) return;
           if (last) {
             take(*last);
           } else {
             complain(last.error());
           }
           looked();
           if (const auto done = std::exchange(ended_, {})) done();
         },
         nullptr});
  }

  void complain(const Error& error) {
    if (!complaints_.may(clock_.now())) return;
    forwarding_.log_->warn("a data server of kind {} does not say what it forwards: {}",
                           forwarding_.info_.kind, error.message);
  }

  struct Seen {
    Traffic traffic;
    std::vector<Connection> connections;
  };

  void look() {
    if (is_over_ || std::exchange(is_looking_, true)) return;
    const bool is_asked = !waiting_.empty();
    const auto work = [channel = shared_, is_asked]() -> Result<Seen> {
      return Seen{channel->traffic(),
                  is_asked ? channel->connections() : std::vector<Connection>()};
    };
    forwarding_.code_.ask<Seen>(
        {"its traffic", forwarding_.limits_.traffic, work,
         [this, is_asked, alive = std::weak_ptr(alive_)](const Result<Seen>& seen) {
           if (!alive.lock()) return;
           is_looking_ = false;
           if (seen) {
             take(seen->traffic);
             connections_ = seen->connections;
           } else {
             complain(seen.error());
           }
           // Who asked amid a look without connections gets another.
           if (!is_asked && !waiting_.empty()) return look();
           looked();
         },
         nullptr});
  }

  void looked() {
    for (const auto& done : std::exchange(waiting_, {})) done();
    if (is_over_) return;
    next_look_.expires_after(between_looks);
    next_look_.async_wait([this, alive = std::weak_ptr(alive_)](const auto& error) {
      if (!error && alive.lock()) look();
    });
  }

  void take(const Traffic& traffic) {
    if (std::exchange(traffic_, traffic) != traffic) changed_ = clock_.now();
  }

  CustomForwarding& forwarding_;
  const std::string host_;  ///< That it listens on.
  const std::vector<std::uint16_t> ports_;
  std::shared_ptr<Channel> shared_;  ///< With work that is under way.
  /// Answers that come when this is gone are for nobody.
  const std::shared_ptr<int> alive_ = std::make_shared<int>();
  SteadyClock clock_;
  Traffic traffic_;
  std::vector<Connection> connections_;
  Clock::time_point changed_ = clock_.now();
  boost::asio::steady_timer next_look_{forwarding_.bookkeeping_};
  std::function<void()> ended_;
  std::vector<std::function<void()>> waiting_;  ///< For a look that is under way.
  bool has_ports_ = true;
  bool is_looking_ = false;
  bool is_over_ = false;
  Seldom complaints_;
};

CustomForwarding::CustomForwarding(boost::asio::io_context& bookkeeping,
                                   std::shared_ptr<v0::DataServer> own, Info info, Limits limits,
                                   Logger log)
    : bookkeeping_(bookkeeping),
      own_(std::move(own)),
      info_(std::move(info)),
      limits_(limits),
      log_(std::move(log)),
      code_(bookkeeping, "sci-own-s2ds", 256) {}

void CustomForwarding::reserve(const ReserveRequest& request, News /*news*/,
                               Callback<std::unique_ptr<Forwarder>> done) {
  const auto work = [own = own_, wanted = public_form(request)]() -> Result<Opened> {
    auto channel = own->listen(wanted);
    if (!channel) return channel.error();
    if (!*channel) return Error{Cause::failure, "its listen returned nothing"};
    // Whose data server lives as long as it does.
    Opened opened{{}, {channel->release(), [own](Channel* last) { delete last; }}};
    const Status ports = net::caught<void>([&opened, &wanted] {
      opened.ports = opened.shared->ports();
      return check_ports(opened.ports, wanted);
    });
    if (ports) return opened;
    (void)net::caught<void>([&opened] { return cut(opened); });
    return ports.error();
  };
  const auto answer = [this, host = request.bind_host,
                       done = std::move(done)](Result<Opened> opened) {
    if (!opened) return done(named(opened.error()));
    for (const std::uint16_t port : opened->ports) {
      if (!taken_.contains({host, port})) continue;
      (void)code_.ask_at_leisure<void>([late = *opened] { return cut(late); },
                                       [](const Status&) {});
      return done(named({Cause::failure, "port " + std::to_string(port) +
                                             " is that of another session's listener, too"}));
    }
    done(std::unique_ptr<Forwarder>(
        std::make_unique<CustomForwarder>(*this, host, std::move(*opened))));
  };
  code_.ask<Opened>({"its listen", limits_.answer, work, answer, [](const Opened& late) {
                       (void)net::caught<void>([&late] { return cut(late); });
                     }});
}

Error CustomForwarding::named(const Error& error) const {
  std::string text = shown(error.message, longest_message);
  // What it throws says nothing of where it comes from.
  if (error.cause == Cause::failure) text = "a data server of kind " + info_.kind + ": " + text;
  return {error.cause, std::move(text)};
}

Status CustomForwarding::cut(const Opened& opened) {
  opened.shared->cut();
  return {};
}

Result<std::unique_ptr<DataServer>> make_custom_data_server(
    std::shared_ptr<v0::DataServer> own, const Logger& log,
    const CustomForwarding::Limits& limits) {
  auto info = facts_of(*own);
  if (!info) return info.error();
  const auto make = [own = std::move(own), info = std::move(*info), limits,
                     log](boost::asio::io_context& bookkeeping) {
    return std::make_unique<CustomForwarding>(bookkeeping, own, info, limits, log);
  };
  return std::unique_ptr<DataServer>(std::make_unique<LocalDataServer>(make, log));
}

}  // namespace scistream::dataserver
