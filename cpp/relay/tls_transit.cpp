#include "relay/tls_transit.hpp"

#include <openssl/crypto.h>
#include <sys/socket.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <climits>
#include <cstring>
#include <new>
#include <stdexcept>

namespace scistream::relay {

namespace {

namespace tls = net::tls;

/// Records of one batch.
constexpr std::size_t slots = tls_batch / tls::most_content;
/// Room for a key update ahead of the first slot.
constexpr std::size_t headroom = 64;
static_assert(headroom >= net::RecordWriter::key_update_size);
static_assert(headroom + slots * tls::most_record <= BufferPool::size);

/// Moving less than this costs less than another piece of a vector.
constexpr std::size_t small_piece = 2048;
/// That may be kept room for while nothing comes.
constexpr std::size_t few_pieces = 64;

ssize_t out_of_memory() noexcept {
  errno = ENOMEM;
  return -1;
}

}  // namespace

ssize_t SealingTransit::fill(int source, std::size_t most) {
  assert(empty());
  if (!buffer_) buffer_ = pool_.acquire();
  if (!buffer_) return out_of_memory();
  std::uint8_t* const first = buffer_.get() + headroom;
  std::array<iovec, slots> places;
  std::size_t used = 0;
  for (std::size_t left = most; used < slots && left > 0; ++used) {
    const std::size_t size = std::min(left, tls::most_content);
    places[used] = {first + used * tls::most_record + tls::header_size, size};
    left -= size;
  }
  msghdr message{};
  message.msg_iov = places.data();
  message.msg_iovlen = used;
  const ssize_t taken = ::recvmsg(source, &message, MSG_DONTWAIT);
  if (taken <= 0) return taken;

  std::uint8_t* begin = first;
  if (writer_.wants_key_update()) {
    begin -= net::RecordWriter::key_update_size;
    writer_.seal_key_update(begin);
  }
  std::uint8_t* record = first;
  for (auto left = static_cast<std::size_t>(taken); left > 0;) {
    const std::size_t size = std::min(left, tls::most_content);
    record += writer_.seal(record, size);
    left -= size;
  }
  next_ = begin;
  size_ = static_cast<std::size_t>(record - begin);
  content_ = static_cast<std::size_t>(taken);
  return taken;
}

void SealingTransit::finish() {
  assert(empty());
  writer_.seal_alert(last_.data(), tls::Alert::close_notify);
  next_ = last_.data();
  size_ = last_.size();
  content_ = 0;
}

ssize_t SealingTransit::drain(int destination, std::size_t) noexcept {
  assert(!empty());
  const ssize_t given = ::send(destination, next_, size_, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (given <= 0) return given;
  next_ += given;
  size_ -= static_cast<std::size_t>(given);
  if (size_ == 0) delivered_ += std::exchange(content_, 0);
  return given;
}

void SealingTransit::rest() noexcept {
  assert(empty());
  pool_.give_back(std::move(buffer_));
}

void SealingTransit::discard() noexcept {
  size_ = 0;
  rest();
}

TransitState SealingTransit::save() {
  TransitState state;
  state.pending = Secret(std::span(next_, size_));
  state.content = content_;
  discard();
  return state;
}

void SealingTransit::restore(const TransitState& state) {
  if (state.pending.empty()) return;
  if (state.pending.size() > BufferPool::size) throw std::length_error("too much in transit");
  buffer_ = pool_.acquire();
  if (!buffer_) throw std::bad_alloc();
  std::memcpy(buffer_.get(), state.pending.bytes().data(), state.pending.size());
  next_ = buffer_.get();
  size_ = state.pending.size();
  content_ = state.content;
}

ssize_t OpeningTransit::fill(int source, std::size_t) {
  assert(empty());
  if (closed_) return 0;
  if (!buffer_) buffer_ = pool_.acquire();
  if (!buffer_) return out_of_memory();
  pieces_.clear();
  piece_ = 0;
  have_ -= consumed_;
  std::memmove(buffer_.get(), buffer_.get() + consumed_, have_);
  consumed_ = 0;

  const ssize_t taken =
      ::recv(source, buffer_.get() + have_, BufferPool::size - have_, MSG_DONTWAIT);
  if (taken == 0) {
    why_ = "the peer's connection ended before its data did";
    errno = ECONNRESET;
    return -1;
  }
  if (taken < 0) return taken;
  have_ += static_cast<std::size_t>(taken);
  auto batch = reader_.read({buffer_.get(), have_}, pieces_, SIZE_MAX);
  consumed_ = batch.consumed;
  if (batch.key_update_requested) writer_.ask_key_update();
  if (batch.stream == net::RecordReader::Stream::failed) {
    pieces_.clear();
    why_ = std::move(batch.why);
    alert_ = batch.alert;
    errno = EPROTO;
    return -1;
  }
  closed_ = batch.stream == net::RecordReader::Stream::closed;
  if (closed_ && pieces_.empty()) return 0;
  join_small_pieces();
  for (const iovec& piece : pieces_) payload_ += piece.iov_len;
  return taken;
}

/// A peer may send as many small records as fit: their content is moved together, so that one call
/// writes it.
void OpeningTransit::join_small_pieces() noexcept {
  std::size_t kept = 0;
  for (const iovec& piece : pieces_) {
    if (kept > 0 && piece.iov_len < small_piece) {
      iovec& before = pieces_[kept - 1];
      std::memmove(static_cast<std::uint8_t*>(before.iov_base) + before.iov_len, piece.iov_base,
                   piece.iov_len);
      before.iov_len += piece.iov_len;
    } else {
      pieces_[kept++] = piece;
    }
  }
  pieces_.resize(kept);
}

ssize_t OpeningTransit::drain(int destination, std::size_t most) noexcept {
  assert(!empty());
  msghdr message{};
  message.msg_iov = pieces_.data() + piece_;
  message.msg_iovlen = std::min<std::size_t>(pieces_.size() - piece_, IOV_MAX);
  std::size_t beyond = 0;  // of the last piece that goes, what does not
  if (most < payload_) {
    std::size_t end = piece_;
    std::size_t size = 0;
    while (size < most) size += pieces_[end++].iov_len;
    message.msg_iovlen = std::min<std::size_t>(end - piece_, IOV_MAX);
    if (message.msg_iovlen == end - piece_) beyond = size - most;
  }
  iovec& last = message.msg_iov[message.msg_iovlen - 1];
  last.iov_len -= beyond;
  const ssize_t given = ::sendmsg(destination, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  last.iov_len += beyond;
  if (given <= 0) return given;
  delivered_ += static_cast<std::size_t>(given);
  payload_ -= static_cast<std::size_t>(given);
  for (auto left = static_cast<std::size_t>(given); left > 0;) {
    iovec& piece = pieces_[piece_];
    const std::size_t part = std::min(left, piece.iov_len);
    piece.iov_base = static_cast<std::uint8_t*>(piece.iov_base) + part;
    piece.iov_len -= part;
    left -= part;
    if (piece.iov_len == 0) ++piece_;
  }
  return given;
}

void OpeningTransit::rest() noexcept {
  assert(empty());
  if (pieces_.capacity() > few_pieces) std::vector<iovec>().swap(pieces_);
  pieces_.clear();
  piece_ = 0;
  // A record of which a part has come stays where it is.
  if (have_ > consumed_) return;
  have_ = consumed_ = 0;
  pool_.give_back(std::move(buffer_));
}

TransitState OpeningTransit::save() {
  TransitState state;
  std::vector<std::uint8_t> opened;
  opened.reserve(payload_);
  for (std::size_t i = piece_; i < pieces_.size(); ++i) {
    const auto* bytes = static_cast<const std::uint8_t*>(pieces_[i].iov_base);
    opened.insert(opened.end(), bytes, bytes + pieces_[i].iov_len);
  }
  state.pending = Secret(opened);
  OPENSSL_cleanse(opened.data(), opened.size());
  state.content = payload_;
  state.unopened = Secret(std::span(buffer_.get() + consumed_, have_ - consumed_));
  state.closed = closed_;
  discard();
  return state;
}

void OpeningTransit::restore(const TransitState& state) {
  closed_ = state.closed;
  const auto opened = state.pending.bytes();
  const auto unopened = state.unopened.bytes();
  if (opened.size() + unopened.size() == 0) return;
  if (opened.size() + unopened.size() > BufferPool::size)
    throw std::length_error("too much in transit");
  buffer_ = pool_.acquire();
  if (!buffer_) throw std::bad_alloc();
  std::copy(opened.begin(), opened.end(), buffer_.get());
  std::copy(unopened.begin(), unopened.end(), buffer_.get() + opened.size());
  consumed_ = payload_ = opened.size();
  have_ = opened.size() + unopened.size();
  pieces_.assign(opened.empty() ? 0 : 1, {buffer_.get(), opened.size()});
  piece_ = 0;
}

void OpeningTransit::discard() noexcept {
  piece_ = pieces_.size();
  payload_ = 0;
  have_ = consumed_ = 0;
  rest();
}

}  // namespace scistream::relay
