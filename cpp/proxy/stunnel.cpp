#include "proxy/stunnel.hpp"

#include <openssl/crypto.h>

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <charconv>
#include <chrono>
#include <csignal>
#include <map>
#include <optional>
#include <sstream>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/file.hpp"
#include "net/socket_statistics.hpp"
#include "proxy/expectation.hpp"

namespace scistream::proxy {

namespace {

using dataserver::Callback;
using dataserver::ConnectionStatus;
using dataserver::Counters;
using std::chrono::steady_clock;

constexpr const char* configuration = "stunnel.conf";
constexpr const char* secrets = "keys";
/// A target where nobody can be: a socket that nobody makes.
constexpr const char* nowhere = "nowhere.sock";
constexpr std::chrono::seconds patience{5};
/// A connection that nobody can take the rest of is taken for lost after that: whoever pauses for
/// longer on one whose other application has gone loses that rest.
constexpr std::chrono::seconds time_to_move{5};
/// What deployed peers call each other.
constexpr const char* compat_identity = "client1";
/// Stunnel takes shorter ones for no key at all.
constexpr std::size_t shortest_compat_key = 16;

/// A line of its log: `2026.01.31 12:00:00 LOG5[7]: Service [0] accepted connection from …`.
struct LogLine {
  int level = 0;         ///< As in syslog(3): 5 is a notice.
  std::string_view who;  ///< A number for each connection, or a name.
  std::string_view text;
};

std::optional<LogLine> parse(std::string_view line) {
  constexpr std::string_view mark = " LOG";
  const auto at = line.find(mark);
  if (at == std::string_view::npos || line.size() < at + mark.size() + 2) return std::nullopt;
  const std::string_view rest = line.substr(at + mark.size());
  const auto end = rest.find("]: ");
  if (rest[1] != '[' || end == std::string_view::npos) return std::nullopt;
  return LogLine{rest[0] - '0', rest.substr(2, end - 2), rest.substr(end + 3)};
}

/// What follows `words` in `text`; nothing if they are not there.
std::optional<std::string_view> after(std::string_view text, std::string_view words) {
  const auto at = text.find(words);
  if (at == std::string_view::npos) return std::nullopt;
  return text.substr(at + words.size());
}

/// An address as Stunnel reads it: the port is behind the last colon, brackets belong to no host.
std::string spelled(const Endpoint& endpoint) {
  return endpoint.host + ":" + std::to_string(endpoint.port);
}

/// And writes it.
Endpoint endpoint_in(std::string_view text) {
  const auto colon = text.rfind(':');
  Endpoint found;
  if (colon == std::string_view::npos) return found;
  found.host = unmapped(std::string(text.substr(0, colon)));
  std::from_chars(text.data() + colon + 1, text.data() + text.size(), found.port);
  return found;
}

std::uint64_t number_in(std::string_view text) {
  std::uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

std::string compat_key(const std::string& uid) {
  std::string key = uid;
  std::erase(key, '-');
  return key;
}

class StunnelSteering final : public Steering,
                              public std::enable_shared_from_this<StunnelSteering> {
 public:
  StunnelSteering(const Site& site, std::string program, StunnelMode mode)
      : sockets_(site.sockets),
        program_(std::move(program)),
        mode_(std::move(mode)),
        configured_(site.context),
        key_expires_(site.context) {}

  Result<net::ChildPlan> prepare(const Work& work) override {
    if (Status written = write(work, {}); !written) return written.error();
    work_ = work;
    net::ChildPlan plan;
    plan.arguments = {program_, configuration};
    // As a service manager passes listeners on; it binds none by itself then.
    plan.environment = {"LISTEN_FDS=" + std::to_string(work.listeners.size())};
    plan.pid_variable = "LISTEN_PID";
    plan.folder = work.folder;
    return plan;
  }

  bool take(std::string_view line) override {
    const auto said = parse(line);
    // Before it is configured, it marks what matters with signs.
    if (!said) return line.starts_with("[!]");
    constexpr int warning = 4;
    if (said->text == "Configuration successful") configured_.fulfil({});
    if (said->text == "Configuration failed" || after(said->text, "Failed to reload"))
      configured_.fulfil(Error{Cause::unavailable, "stunnel: " + std::string(said->text)});
    const bool of_connection = take_connection(*said);
    return said->level <= warning && !of_connection;
  }

  void wait_ready(const std::shared_ptr<net::Child>& child, std::chrono::seconds limit,
                  Callback<void> done) override {
    configured_.await(limit, "stunnel does not say that it serves", std::move(done));
    forget_old_key_later(child);
  }

  void retarget(const Work& work, const std::shared_ptr<net::Child>& child,
                Callback<void> done) override {
    work_ = work;
    if (Status written = write(work, {}); !written) return done(written);
    configured_.await(patience, "stunnel does not take its new configuration", std::move(done));
    child->signal(SIGHUP);
    forget_old_key_later(child);
  }

  [[nodiscard]] bool reads_afterwards() const override { return true; }

  void read(Callback<Reading> done) override {
    const auto sockets = sockets_->look();
    if (!sockets) return done(sockets.error());
    take_sockets(**sockets);
    Reading reading;
    reading.counters = ended_;
    for (const auto& [who, live] : live_) reading.add(live.status);
    done(std::move(reading));
    end_if_idle();
  }

  void drain(const Work& work, const std::shared_ptr<net::Child>& child,
             const std::vector<int>& /*listeners*/, std::function<void()> idle) override {
    // It listens for as long as it runs: who comes now is let go again at once.
    idle_ = std::move(idle);
    if (!write(work, nowhere)) return idle_();
    child->signal(SIGHUP);
    end_if_idle();
  }

 private:
  struct Live {
    ConnectionStatus status;
    Endpoint dialled_from;  ///< Towards the target; empty: not yet.
    bool failed = false;
    std::optional<steady_clock::time_point> lost_since;
  };

  /// Whether clients speak in clear, and targets TLS.
  [[nodiscard]] bool faces_client() const { return work_.session.role == Role::consumer; }

  Status write(const Work& work, std::string_view only_target) const {
    const bool client = work.session.role == Role::consumer;
    std::ostringstream text;
    text << "foreground = yes\n"
            "pid =\n"
            "syslog = no\n"
            "debug = notice\n"
            // Targets whose host has vanished are gone after two minutes.
            "socket = r:SO_KEEPALIVE=1\n"
            "socket = r:TCP_KEEPIDLE=60\n"
            "socket = r:TCP_KEEPINTVL=10\n"
            "socket = r:TCP_KEEPCNT=6\n";
    for (std::size_t i = 0; i < work.listeners.size(); ++i) {
      text << "[" << i << "]\nclient = " << (client ? "yes" : "no")
           << "\naccept = " << spelled(work.listeners[i]) << "\nconnect = "
           << (only_target.empty() ? spelled(work.targets[i]) : std::string(only_target))
           << "\nPSKsecrets = " << secrets
           << "\n"
              // Streams may be quiet, and one direction may end long before the other.
              "TIMEOUTidle = 2000000\n"
              "TIMEOUTclose = 2000000\n"
              // For a handshake.
              "TIMEOUTbusy = 10\n"
              "sessionResume = no\n"
           << (work.announces ? "protocol = proxy\n" : "") << protection(work, client);
    }
    if (Status kept = write_keys(work); !kept) return kept;
    return write_private_file(work.folder / configuration, text.str());
  }

  [[nodiscard]] std::string protection(const Work& work, bool client) const {
    if (mode_.compat) {
      return "sslVersion = TLSv1.2\n"
             "securityLevel = 0\n"
             "ciphers = PSK-NULL-SHA256:@SECLEVEL=0\n";
    }
    std::string suites;
    for (const net::Ciphersuite each : mode_.ciphersuites)
      suites += (suites.empty() ? "" : ":") + std::string(net::tls_name(each));
    std::string lines = "sslVersion = TLSv1.3\nciphersuites = " + suites + "\n";
    const auto key = work.keys ? work.keys->present() : std::nullopt;
    if (client && key) lines += "PSKidentity = " + key->identity + "\n";
    return lines;
  }

  Status write_keys(const Work& work) const {
    if (mode_.compat) {
      const std::string key = compat_key(work.session.uid);
      if (key.size() < shortest_compat_key) {
        return Error{Cause::invalid_argument,
                     "the session's id '" + work.session.uid +
                         "' is the key of --compat-stunnel, which needs 16 letters or digits"};
      }
      return write_private_file(work.folder / secrets, compat_identity + (":" + key) + "\n");
    }
    std::string lines;
    for (const auto& key : {work.keys->present(), work.keys->previous()})
      if (key) lines += key->identity + ":" + key->key.hex() + "\n";
    Status written = write_private_file(work.folder / secrets, lines);
    OPENSSL_cleanse(lines.data(), lines.size());
    return written;
  }

  /// The key before the present one opens nothing once its time is over.
  void forget_old_key_later(const std::shared_ptr<net::Child>& child) {
    if (!work_.keys || !work_.keys->previous()) return;
    key_expires_.expires_after(net::KeyRing::overlap + std::chrono::seconds(1));
    key_expires_.async_wait([weak = weak_from_this(), weak_child = std::weak_ptr(child)](
                                const boost::system::error_code& ec) {
      const auto self = weak.lock();
      const auto still = weak_child.lock();
      if (!ec && self && still && !self->idle_ && self->write(self->work_, {}))
        still->signal(SIGHUP);
    });
  }

  /// Takes what is said of one connection; whether it was.
  bool take_connection(const LogLine& line) {
    const std::string who(line.who);
    if (const auto peer = after(line.text, "] accepted connection from ")) {
      const auto service = after(line.text, "Service [");
      const std::size_t listener = number_in(service.value_or("0"));
      Live& live = live_[who];
      live.status.peer = to_string(endpoint_in(*peer));
      if (listener < work_.listeners.size()) live.status.port = work_.listeners[listener].port;
      return true;
    }
    const auto found = live_.find(who);
    if (found == live_.end()) return false;
    Live& live = found->second;
    constexpr int error = 3;
    if (const auto from = after(line.text, "] connected remote server from "))
      live.dialled_from = endpoint_in(*from);
    if (line.level <= error) live.failed = true;
    if (after(line.text, "SSL_accept: ")) ++ended_.refused;
    const auto to_tls = after(line.text, "Connection closed: ");
    const auto cut = after(line.text, "Connection reset: ");
    if (to_tls || cut) take_end(found, *(to_tls ? to_tls : cut), cut.has_value());
    return true;
  }

  void take_end(std::map<std::string, Live>::iterator which, std::string_view words, bool cut) {
    const std::uint64_t to_tls = number_in(words);
    const std::uint64_t to_plain = number_in(after(words, "to TLS, ").value_or("0"));
    ended_.bytes_to_producer += faces_client() ? to_tls : to_plain;
    ended_.bytes_to_consumer += faces_client() ? to_plain : to_tls;
    ++ended_.connections_total;
    if (which->second.failed || cut) ++ended_.errors;
    live_.erase(which);
    end_if_idle();
  }

  /// What the kernel knows of both sides of each connection.
  void take_sockets(const std::vector<net::SocketStatistics>& sockets) {
    struct Sides {
      Live* live;
      const net::SocketStatistics* plain = nullptr;
      const net::SocketStatistics* tls = nullptr;
    };
    std::vector<Sides> all;
    all.reserve(live_.size());
    std::map<std::string, Sides*> by_client;
    std::map<std::string, Sides*> by_dial;
    std::unordered_set<std::uint16_t> ports;
    for (auto& [who, live] : live_) {
      all.push_back({&live});
      Sides& sides = all.back();
      by_client[name_of(live.status.peer, live.status.port)] = &sides;
      ports.insert({live.status.port, live.dialled_from.port});
      if (live.dialled_from.port != 0) by_dial[to_string(live.dialled_from)] = &sides;
    }
    const bool client = faces_client();
    for (const net::SocketStatistics& each : sockets) {
      // Names take time, and most of a gateway's sockets are others'.
      if (!ports.contains(each.local.port)) continue;
      const auto came = by_client.find(name_of(to_string(each.peer), each.local.port));
      if (came != by_client.end()) (client ? came->second->plain : came->second->tls) = &each;
      const auto dialled = by_dial.find(to_string(each.local));
      if (dialled != by_dial.end())
        (client ? dialled->second->tls : dialled->second->plain) = &each;
    }
    for (const Sides& each : all) {
      if (each.plain != nullptr) take_socket(*each.plain, each.live->status);
      const bool was_there = each.live->status.id != 0;
      take_loss(*each.live, was_there && each.plain == nullptr && each.tls != nullptr &&
                                each.tls->bytes_unread > 0);
    }
  }

  void take_socket(const net::SocketStatistics& socket, ConnectionStatus& status) const {
    status.id = socket.id;
    status.idle = socket.idle;
    const bool client = faces_client();
    const std::uint64_t sent = socket.bytes_acknowledged;
    status.bytes_to_producer = client ? socket.bytes_received : sent;
    status.bytes_to_consumer = client ? sent : socket.bytes_received;
  }

  /// Where an application goes with data under way both ways, stunnel keeps what came from it until
  /// the other end takes it, and reads no more of what that sends. If that does the same, as
  /// another stunnel does, neither ever ends.
  static void take_loss(Live& live, bool is_lost) {
    if (!is_lost) live.lost_since.reset();
    if (is_lost && !live.lost_since) live.lost_since = steady_clock::now();
  }

  [[nodiscard]] static bool is_lost(const Live& live) {
    return live.lost_since && steady_clock::now() - *live.lost_since >= time_to_move;
  }

  void end_if_idle() {
    const auto lost = [](const auto& each) { return is_lost(each.second); };
    if (idle_ && std::all_of(live_.begin(), live_.end(), lost)) idle_();
  }

  const std::shared_ptr<SocketTable> sockets_;
  const std::string program_;
  const StunnelMode mode_;
  Work work_;
  Expectation configured_;
  boost::asio::steady_timer key_expires_;
  std::map<std::string, Live> live_;  ///< By its number in the log.
  Counters ended_;                    ///< What the connections that have ended moved.
  std::function<void()> idle_;        ///< While it drains.
};

}  // namespace

std::shared_ptr<Steering> steer_stunnel(const Site& site, std::string program, StunnelMode mode) {
  return std::make_shared<StunnelSteering>(site, std::move(program), std::move(mode));
}

Result<StunnelMode> stunnel_mode(const DataServerPlan& plan) {
  StunnelMode mode;
  mode.compat = plan.compat_stunnel;
  const auto& wanted = plan.native.ciphersuites;
  std::copy_if(wanted.begin(), wanted.end(), std::back_inserter(mode.ciphersuites),
               [](net::Ciphersuite suite) { return suite != net::Ciphersuite::aes_256_gcm; });
  if (!mode.ciphersuites.empty()) return mode;
  return Error{Cause::invalid_argument,
               "--ciphersuites AES-256-GCM: stunnel uses shared keys with AES-128-GCM and "
               "ChaCha20-Poly1305 only; name one of them"};
}

void protect(Program& program, const StunnelMode& mode) {
  // It is here to protect: in clear only where that is what was asked for.
  program.transports = {mode.compat ? dataserver::transport::tcp : dataserver::transport::tls};
  program.own_transports = program.transports;
  if (!mode.compat) program.ciphersuites = mode.ciphersuites;
}

}  // namespace scistream::proxy
