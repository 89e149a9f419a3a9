#pragma once

#include <sys/types.h>

#include <cstddef>

#include "relay/connection_state.hpp"

namespace scistream::relay {

/// The bytes of one pump that have left its source and not yet reached its destination, and what
/// becomes of them on the way. Belongs to one pump and lives on its thread.
///
/// It is filled only when empty, so "would block" while filling always means that the source is
/// empty, never that there is no room.
class Transit {
 public:
  virtual ~Transit() = default;

  [[nodiscard]] virtual bool empty() const noexcept = 0;

  /// Bytes worth waiting for where many come; 0 where it makes no difference.
  [[nodiscard]] virtual std::size_t batch() const noexcept { return 0; }

  /// Takes what the socket has, up to a batch, and to about `most` bytes where they are to be
  /// handed over in pieces: bytes taken from it, 0 at the end of the stream, or -1 and errno. Only
  /// when empty(); may leave it empty, when what came is not a whole.
  virtual ssize_t fill(int source, std::size_t most) = 0;
  /// Like fill(), where it found nothing though the socket is readable.
  virtual ssize_t fill_again(int source, std::size_t most) { return fill(source, most); }
  /// fill() knows more than the socket will say.
  [[nodiscard]] virtual bool has_more() const noexcept { return false; }

  /// The stream of the source has ended: adds what the destination must be told of it. Only when
  /// empty().
  virtual void finish() {}

  /// Bytes of the application that drain() has yet to hand over.
  [[nodiscard]] virtual std::size_t payload() const noexcept = 0;
  /// Whether drain() may hand over a part of them.
  [[nodiscard]] virtual bool divisible() const noexcept { return true; }
  /// Hands bytes to the socket, `most` of them if divisible(): bytes handed over, or -1 and errno.
  /// Only when not empty().
  virtual ssize_t drain(int destination, std::size_t most) noexcept = 0;
  /// Bytes of the application handed over since the last call.
  virtual std::size_t take_delivered() noexcept = 0;

  /// Gives back what it holds while bytes move. Only when empty().
  virtual void rest() noexcept = 0;
  /// Throws away what is in transit.
  virtual void discard() noexcept = 0;

  /// Takes out what is in transit, for restore() of another of its kind that is new.
  virtual TransitState save() = 0;
  /// Throws std::bad_alloc, and std::length_error of what no save() gives.
  virtual void restore(const TransitState& state) = 0;
};

}  // namespace scistream::relay
