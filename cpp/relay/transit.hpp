#pragma once

#include <sys/types.h>

#include <cstddef>
#include <memory>
#include <optional>

#include "relay/pipe_pool.hpp"

namespace scistream::relay {

/// The bytes of one pump that have left its source and not yet reached its destination. Holds a
/// pipe, or a small buffer where no pipe is to be had, and nothing while it rests. Lives on the
/// thread of its pool.
///
/// It is filled only when empty, so "would block" while filling always means that the source is
/// empty, never that the pipe is full.
class Transit {
 public:
  Transit(PipePool& pool, std::size_t capacity) noexcept : pool_(pool), capacity_(capacity) {}
  Transit(const Transit&) = delete;
  Transit& operator=(const Transit&) = delete;

  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }

  /// Takes what the socket has, up to the capacity: bytes taken, 0 at the end of its stream, or
  /// -1 and errno. Only when empty().
  ssize_t fill(int source) noexcept;

  /// Like fill(), by copying: splice stops at TCP urgent data, recv passes it.
  ssize_t fill_by_copy(int source) noexcept;

  /// Hands bytes to the socket: bytes handed over, or -1 and errno. Only when not empty().
  ssize_t drain(int destination) noexcept;

  /// Gives the pipe or buffer back. Only when empty().
  void rest() noexcept;

  /// Throws away what is in transit.
  void discard() noexcept;

 private:
  static constexpr std::size_t buffer_size = 64U << 10U;

  PipePool& pool_;
  std::size_t capacity_;
  std::optional<Pipe> pipe_;
  std::unique_ptr<std::byte[]> buffer_;
  std::size_t size_ = 0;    ///< Bytes in transit,
  std::size_t offset_ = 0;  ///< in the buffer from here,
  bool in_buffer_ = false;  ///< if they are there and not in the pipe.
};

}  // namespace scistream::relay
