#include "relay/buffer_pool.hpp"

#include <new>
#include <utility>

namespace scistream::relay {

namespace {

/// Enough for the connections that are mid-batch at one moment.
constexpr std::size_t max_idle = 16;

}  // namespace

boost::asio::execution_context::id BufferPool::id;

BufferPool::Buffer BufferPool::acquire() noexcept {
  if (idle_.empty()) return Buffer(new (std::nothrow) std::uint8_t[size]);
  Buffer buffer = std::move(idle_.back());
  idle_.pop_back();
  return buffer;
}

void BufferPool::give_back(Buffer buffer) noexcept {
  if (!buffer || idle_.size() >= max_idle) return;
  if (idle_.capacity() == 0) idle_.reserve(max_idle);
  idle_.push_back(std::move(buffer));
}

}  // namespace scistream::relay
