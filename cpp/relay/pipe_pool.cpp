#include "relay/pipe_pool.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <utility>

namespace scistream::relay {

namespace {

/// Enough for the connections that are mid-chunk at one moment; more would sit on the user's quota
/// of pipe pages.
constexpr std::size_t max_idle = 16;

}  // namespace

boost::asio::execution_context::id PipePool::id;

std::optional<Pipe> PipePool::acquire(std::size_t capacity) noexcept {
  if (!idle_.empty()) {
    Pipe pipe = std::move(idle_.back());
    idle_.pop_back();
    return pipe;
  }
  int ends[2];
  if (::pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) return std::nullopt;
  Pipe pipe{net::Fd(ends[0]), net::Fd(ends[1]), 0};
  int size = ::fcntl(pipe.in.get(), F_SETPIPE_SZ, static_cast<int>(capacity));
  if (size < 0) size = ::fcntl(pipe.in.get(), F_GETPIPE_SZ);
  if (size <= 0) return std::nullopt;
  pipe.capacity = static_cast<std::size_t>(size);
  return pipe;
}

void PipePool::give_back(Pipe pipe, std::size_t wanted) noexcept {
  if (idle_.size() >= max_idle || pipe.capacity < wanted) return;
  if (idle_.capacity() == 0) idle_.reserve(max_idle);
  idle_.push_back(std::move(pipe));
}

}  // namespace scistream::relay
