#include "relay/pipe_transit.hpp"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <new>
#include <stdexcept>
#include <utility>
#include <vector>

namespace scistream::relay {

ssize_t PipeTransit::fill(int source, std::size_t most) noexcept {
  assert(empty());
  if (small_) {
    const ssize_t taken = fill_again(source, most);
    small_ = taken <= static_cast<ssize_t>(small_message);
    return taken;
  }
  if (!pipe_) pipe_ = pool_.acquire(capacity_);
  if (!pipe_) return fill_again(source, most);
  const ssize_t taken =
      ::splice(source, nullptr, pipe_->in.get(), nullptr, std::min(pipe_->capacity, most),
               SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  if (taken > 0) {
    size_ = static_cast<std::size_t>(taken);
    in_buffer_ = false;
    small_ = size_ <= small_message;
  }
  return taken;
}

ssize_t PipeTransit::fill_again(int source, std::size_t most) noexcept {
  assert(empty());
  if (!buffer_) buffer_.reset(new (std::nothrow) std::byte[buffer_size]);
  if (!buffer_) {
    errno = ENOMEM;
    return -1;
  }
  const ssize_t taken = ::recv(source, buffer_.get(), std::min(buffer_size, most), MSG_DONTWAIT);
  if (taken > 0) {
    size_ = static_cast<std::size_t>(taken);
    offset_ = 0;
    in_buffer_ = true;
  }
  return taken;
}

ssize_t PipeTransit::drain(int destination, std::size_t most) noexcept {
  assert(!empty());
  most = std::min(most, size_);
  const ssize_t given =
      in_buffer_ ? ::send(destination, buffer_.get() + offset_, most, MSG_DONTWAIT | MSG_NOSIGNAL)
                 : ::splice(pipe_->out.get(), nullptr, destination, nullptr, most,
                            SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  if (given > 0) {
    size_ -= static_cast<std::size_t>(given);
    offset_ += static_cast<std::size_t>(given);
    delivered_ += static_cast<std::size_t>(given);
  }
  return given;
}

void PipeTransit::rest() noexcept {
  assert(empty());
  if (pipe_) pool_.give_back(*std::exchange(pipe_, std::nullopt), capacity_);
  buffer_.reset();
}

TransitState PipeTransit::save() {
  TransitState state;
  if (empty()) return state;
  std::vector<std::uint8_t> bytes(size_);
  if (in_buffer_) {
    std::memcpy(bytes.data(), buffer_.get() + offset_, size_);
  } else {
    for (std::size_t have = 0; have < size_;) {
      const ssize_t got = ::read(pipe_->out.get(), bytes.data() + have, size_ - have);
      if (got <= 0) throw std::runtime_error("a pipe does not give back what is in it");
      have += static_cast<std::size_t>(got);
    }
  }
  state.pending = Secret(bytes);
  state.content = size_;
  OPENSSL_cleanse(bytes.data(), bytes.size());
  discard();
  return state;
}

void PipeTransit::restore(const TransitState& state) {
  if (state.pending.empty()) return;
  const auto bytes = state.pending.bytes();
  buffer_ = std::make_unique_for_overwrite<std::byte[]>(std::max(buffer_size, bytes.size()));
  std::memcpy(buffer_.get(), bytes.data(), bytes.size());
  size_ = bytes.size();
  offset_ = 0;
  in_buffer_ = true;
}

void PipeTransit::discard() noexcept {
  // A pipe with bytes in it is closed, not given back: they belong to a dead connection.
  if (!empty()) pipe_.reset();
  size_ = 0;
  rest();
}

}  // namespace scistream::relay
