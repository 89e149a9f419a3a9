#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <utility>

#include "relay/pipe_pool.hpp"
#include "relay/transit.hpp"

namespace scistream::relay {

/// Bytes that pass as they are, from one socket to another without being copied. Holds a pipe, or a
/// small buffer where no pipe is to be had, and nothing while it rests. Lives on the thread of its
/// pool.
class PipeTransit final : public Transit {
 public:
  PipeTransit(PipePool& pool, std::size_t capacity) noexcept : pool_(pool), capacity_(capacity) {}
  PipeTransit(const PipeTransit&) = delete;
  PipeTransit& operator=(const PipeTransit&) = delete;

  [[nodiscard]] bool empty() const noexcept override { return size_ == 0; }
  [[nodiscard]] std::size_t batch() const noexcept override { return capacity_ / 4; }
  ssize_t fill(int source, std::size_t most) noexcept override;
  /// By copying: splice stops at TCP urgent data, recv passes it.
  ssize_t fill_again(int source, std::size_t most) noexcept override;
  [[nodiscard]] std::size_t payload() const noexcept override { return size_; }
  ssize_t drain(int destination, std::size_t most) noexcept override;
  std::size_t take_delivered() noexcept override { return std::exchange(delivered_, 0); }
  void rest() noexcept override;
  void discard() noexcept override;
  TransitState save() override;
  void restore(const TransitState& state) override;

 private:
  static constexpr std::size_t buffer_size = 64U << 10U;
  /// Copying so little costs less than two splices.
  static constexpr std::size_t small_message = 16U << 10U;

  PipePool& pool_;
  std::size_t capacity_;
  std::optional<Pipe> pipe_;
  std::unique_ptr<std::byte[]> buffer_;
  std::size_t size_ = 0;    ///< Bytes in transit,
  std::size_t offset_ = 0;  ///< in the buffer from here,
  bool in_buffer_ = false;  ///< if they are there and not in the pipe.
  bool small_ = true;       ///< So little came last.
  std::size_t delivered_ = 0;
};

}  // namespace scistream::relay
