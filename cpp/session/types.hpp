#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/endpoint.hpp"
#include "base/secret.hpp"
#include "dataserver/data_server.hpp"
#include "net/destinations.hpp"
#include "scistream/session_key.hpp"
#include "session/machine.hpp"

namespace scistream::session {

/// Upper bound of a requested rate: 10 Tbit/s in Mbit/s, far above any gateway.
inline constexpr long long max_rate_mbps = 10'000'000;
inline constexpr std::size_t max_labels = 64;
inline constexpr std::size_t max_label_bytes = 256;
/// Addresses in one hello or update; a session never uses more than it has listeners.
inline constexpr std::size_t max_addresses = 4096;

template <class T>
using Callback = std::function<void(Result<T>)>;

/// On whose behalf something is asked of the control server. Says nothing by itself about who that
/// is, and may do nothing to sessions of others unless it is said.
struct Principal {
  std::string id;                        ///< Unique and lasting; empty: nobody who is known.
  bool sees = false;                     ///< Sessions of others as well.
  bool releases = false;                 ///< And may end them.
  bool administers = false;              ///< And may do to them whatever their owners may.
  std::size_t most_sessions = SIZE_MAX;  ///< That are theirs at a time.

  /// Where applications that they stream from may be; empty: wherever the facility allows.
  std::vector<net::Destination> targets;

  /// Of a server that does not ask who calls.
  static Principal anybody() { return {"", true, true, true, SIZE_MAX, {}}; }

  [[nodiscard]] bool owns(const std::string& owner) const {
    return administers || (!id.empty() && id == owner);
  }
  /// Whether they may know that such a session is there.
  [[nodiscard]] bool may_see(const std::string& owner) const {
    return sees || releases || owns(owner);
  }
  [[nodiscard]] bool may_release(const std::string& owner) const { return releases || owns(owner); }
};

/// What a session is to get of the network.
struct Rate {
  long long mbps = 0;        ///< Payload, each way, all connections together; 0: best effort.
  bool is_explicit = false;  ///< The user gave it: it is leased where there is a capacity.

  bool operator==(const Rate&) const = default;
};

/// `invalid_argument` for one that is negative or beyond `max_rate_mbps`.
Status validate(const Rate& rate);

/// What became of a change of a session's rate.
struct RateInForce {
  bool is_leased = false;
  Rate previous;
};

/// REQ, as the control server understands it.
struct Request {
  SessionKey key;
  int num_conn = 1;  ///< Listeners, 1 to dataserver::max_num_conn.
  Rate rate;
  std::string protocol = "tcp";  ///< Or `udp`: datagrams as well as connections.
  std::string producer;          ///< Informative.
  std::string consumer;          ///< Informative.
  std::map<std::string, std::string> labels;
  Secret app_key;                         ///< Empty, or what hello must prove to know.
  std::string transport = "tcp";          ///< Of the WAN leg.
  bool proxy_protocol = false;            ///< Producer: the application is told who connects.
  std::chrono::milliseconds lifetime{0};  ///< After set-up; 0: unlimited.
  std::string claim;                      ///< Random, of this one request; not part of its values.
  std::string caller_host;  ///< Numeric address the request came from; not part of its values.
  std::string owner;        ///< Who asked for it, `Principal::id`; not part of its values.
  /// Its listeners are to have ports of this range; not part of its values.
  std::optional<PortRange> ports;
};

/// `invalid_argument` naming the value that is wrong.
Status validate(const Request& request);

/// Whether a repeated REQ asks for the same session.
bool same_values(const Request& a, const Request& b);

struct RequestAnswer {
  std::vector<std::string> listeners;
  std::vector<std::string> prod_listeners;  ///< The hello's addresses; empty for a consumer.
  State state = State::idle;
  std::string transport;        ///< As agreed; empty: of a server that knows only tcp.
  std::string protocol;         ///< As agreed; empty: of a server that knows only tcp.
  bool proxy_protocol = false;  ///< As agreed.
};

/// Hello, as the control server understands it.
struct Hello {
  std::string uid;
  std::optional<Role> role;  ///< Advisory unless binding.
  bool role_is_binding = false;
  std::vector<std::string> prod_listeners;
  std::string nonce;
  std::string proof;        ///< HMAC-SHA256 of `hello_proof`.
  bool wait_ready = false;  ///< Answer only when the targets are set.
  std::string caller_host;  ///< Numeric address it came from; not part of its values.
};

/// What an application controller that knows `app_key` puts into a hello.
std::string hello_proof(const Secret& app_key, const std::string& uid, std::string_view role,
                        const std::vector<std::string>& prod_listeners, const std::string& nonce);

/// Signs `hello`, which names its role, with a fresh nonce. Does nothing without a key.
void sign(Hello& hello, const Secret& app_key);

struct HelloAnswer {
  std::string message;
  std::vector<std::string> listeners;
};

/// UpdateTargets, as the control server understands it.
struct UpdateTargets {
  std::string uid;
  std::optional<Role> role;  ///< Advisory unless binding.
  bool role_is_binding = false;
  std::vector<Endpoint> targets;
  std::string transport = "tcp";  ///< The one that was requested.
  Secret data_key;                ///< Empty for tcp, `key_size` bytes for tls.
  net::Destinations allowed;      ///< Where its targets may be.
};

struct UpdateAnswer {
  std::vector<std::string> listeners;
  std::vector<std::string> targets;  ///< Wrapped or cut to one a listener.
  State state = State::idle;
  std::string transport;  ///< Of the WAN leg from now on.
  std::string protocol;
};

/// A session as status, list and watch show it.
struct SessionView {
  SessionKey key;
  State state = State::idle;
  Phase phase = Phase::fresh;
  std::vector<std::string> listeners;
  std::vector<std::string> targets;
  int num_conn = 0;
  long long rate_mbps = 0;
  bool rate_is_leased = false;
  std::string protocol;
  std::string transport;
  std::string protection;  ///< encrypted, authenticated only, none
  std::map<std::string, std::string> labels;
  std::chrono::milliseconds age{0};
  dataserver::Counters counters;
  std::string note;  ///< What its data server last told of it; empty: nothing.
  std::vector<dataserver::ConnectionStatus> connections;  ///< Where they were asked for.
};

/// How much of a session is shown.
enum class Detail {
  session,
  connections,  ///< Its live connections as well, at most `most_connections_shown` of a role.
};
/// Of more than these the ones with the most bytes.
inline constexpr std::size_t most_connections_shown = 10'000;

struct SessionEvent {
  enum class Kind { state, counters, gone };
  Kind kind = Kind::state;
  SessionView session;
  std::string detail;
};

std::string_view to_string(SessionEvent::Kind kind) noexcept;

/// What the control server holds and has left.
struct Capacity {
  int ports_total = 0;
  int ports_free = 0;
  std::uint64_t mbps = 0;  ///< 0: unlimited.
  std::uint64_t mbps_free = 0;
  std::size_t sessions = 0;
  bool has_data_server = true;  ///< It answers.
};

}  // namespace scistream::session
