#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/secret.hpp"
#include "net/fd.hpp"
#include "net/tls_record.hpp"

namespace scistream::relay {

// A live connection as values, so that another process of this machine can go on with it: its
// sockets go by descriptor, the rest as bytes (pack). What is in these may be a user's data or the
// keys to it, hence Secret.

/// Of one direction: what has left its source and not yet reached its destination.
struct TransitState {
  Secret pending;           ///< For the destination as it is,
  std::size_t content = 0;  ///< with so many bytes of the application not counted yet.
  Secret unopened;          ///< The start of a TLS record of which the rest has yet to come.
  bool closed = false;      ///< The source has said that no more comes.
};

struct PumpState {
  bool ended = false;      ///< Its end has been passed on; the rest says nothing.
  bool finishing = false;  ///< What is in transit is the last.
  TransitState transit;
};

/// Both ways of a connection over the WAN, and its socket.
struct LinkState {
  net::Fd socket;
  PumpState out;
  PumpState in;
  struct Keys {
    net::RecordWriter::State sending;
    net::RecordReader::State receiving;
  };
  std::optional<Keys> keys;  ///< If it is encrypted.
};

struct ConnectionState {
  std::size_t listener = 0;   ///< Index of the listener it came in by.
  bool accepted_far = false;  ///< It came in over the WAN; else it goes out over it.
  std::string peer;
  std::string target;
  std::uint64_t bytes_to_client = 0;
  std::uint64_t bytes_to_target = 0;
  net::Fd near;
  LinkState link;
};

/// All but the descriptors. Any thread, as is unpack().
Secret pack(const ConnectionState& state);

/// What pack() made, with the descriptors of the near socket and of the link's. `invalid_argument`
/// for anything else, such as the bytes of another version.
Result<ConnectionState> unpack(std::span<const std::uint8_t> bytes, net::Fd near, net::Fd link);

}  // namespace scistream::relay
