#pragma once

#include <boost/asio/execution_context.hpp>
#include <cstddef>
#include <optional>
#include <vector>

#include "net/fd.hpp"

namespace scistream::relay {

/// A kernel pipe that carries bytes from one socket to another without copying them.
struct Pipe {
  net::Fd out;  ///< Read end.
  net::Fd in;   ///< Write end.
  std::size_t capacity = 0;
};

/// The idle pipes of one I/O context, owned by that context and found with
/// `boost::asio::use_service<PipePool>(context)`. Touched by the context's thread only.
///
/// A connection owns a pipe only while bytes are in it, so the number of pipes follows the number
/// of connections that are stuck in the middle of a chunk, not the number that are open.
class PipePool final : public boost::asio::execution_context::service {
 public:
  using key_type = PipePool;
  static boost::asio::execution_context::id id;

  explicit PipePool(boost::asio::execution_context& context) : service(context) {}

  /// An empty pipe of `capacity` bytes where the system allows it, smaller where it does not (an
  /// unprivileged user owns 64 MiB of pipes in all), none without descriptors.
  std::optional<Pipe> acquire(std::size_t capacity) noexcept;

  /// Takes an empty pipe back. One smaller than `wanted` is closed: the next may be bigger.
  void give_back(Pipe pipe, std::size_t wanted) noexcept;

  [[nodiscard]] std::size_t idle() const noexcept { return idle_.size(); }

 private:
  void shutdown() override { idle_.clear(); }

  std::vector<Pipe> idle_;
};

}  // namespace scistream::relay
