#pragma once

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "net/tls_record.hpp"
#include "relay/buffer_pool.hpp"
#include "relay/transit.hpp"

namespace scistream::relay {

/// Content of as many records as are made, or received, at a time.
inline constexpr std::size_t tls_batch = 512U << 10U;

/// Application bytes that leave as TLS records: read straight into the places of the records of a
/// batch, sealed there, sent in one call. The end of the stream is said with close_notify. `writer`
/// must outlive it.
class SealingTransit final : public Transit {
 public:
  SealingTransit(BufferPool& pool, net::RecordWriter& writer) noexcept
      : pool_(pool), writer_(writer) {}
  SealingTransit(const SealingTransit&) = delete;
  SealingTransit& operator=(const SealingTransit&) = delete;

  [[nodiscard]] bool empty() const noexcept override { return size_ == 0; }
  [[nodiscard]] std::size_t batch() const noexcept override { return tls_batch; }
  ssize_t fill(int source, std::size_t most) override;
  void finish() override;
  [[nodiscard]] std::size_t payload() const noexcept override { return content_; }
  [[nodiscard]] bool divisible() const noexcept override { return false; }
  ssize_t drain(int destination, std::size_t most) noexcept override;
  std::size_t take_delivered() noexcept override { return std::exchange(delivered_, 0); }
  void rest() noexcept override;
  void discard() noexcept override;
  TransitState save() override;
  void restore(const TransitState& state) override;

 private:
  BufferPool& pool_;
  net::RecordWriter& writer_;
  BufferPool::Buffer buffer_;
  std::array<std::uint8_t, net::RecordWriter::alert_size> last_{};  ///< The record of the end.
  const std::uint8_t* next_ = nullptr;                              ///< To be sent,
  std::size_t size_ = 0;                                            ///< so many bytes,
  std::size_t content_ = 0;  ///< which carry so many of the application.
  std::size_t delivered_ = 0;
};

/// TLS records that leave as application bytes: received in one call, opened where they lie,
/// written in one call. Only close_notify is the end of the stream; the end of the connection
/// without it is a failure, as are records that do not prove to be the peer's. `reader`, and
/// `writer` of the other direction, must outlive it.
class OpeningTransit final : public Transit {
 public:
  OpeningTransit(BufferPool& pool, net::RecordReader& reader, net::RecordWriter& writer) noexcept
      : pool_(pool), reader_(reader), writer_(writer) {}
  OpeningTransit(const OpeningTransit&) = delete;
  OpeningTransit& operator=(const OpeningTransit&) = delete;

  [[nodiscard]] bool empty() const noexcept override { return piece_ == pieces_.size(); }
  [[nodiscard]] std::size_t batch() const noexcept override { return tls_batch; }
  ssize_t fill(int source, std::size_t most) override;
  [[nodiscard]] bool has_more() const noexcept override { return closed_; }
  [[nodiscard]] std::size_t payload() const noexcept override { return payload_; }
  ssize_t drain(int destination, std::size_t most) noexcept override;
  std::size_t take_delivered() noexcept override { return std::exchange(delivered_, 0); }
  void rest() noexcept override;
  void discard() noexcept override;
  TransitState save() override;
  void restore(const TransitState& state) override;

  /// Why fill() failed, where it was not the socket; the alert to send.
  [[nodiscard]] const std::string& why() const noexcept { return why_; }
  [[nodiscard]] net::tls::Alert alert() const noexcept { return alert_; }

 private:
  void join_small_pieces() noexcept;

  BufferPool& pool_;
  net::RecordReader& reader_;
  net::RecordWriter& writer_;
  BufferPool::Buffer buffer_;
  std::size_t have_ = 0;       ///< Bytes in the buffer, of which
  std::size_t consumed_ = 0;   ///< the first ones are opened.
  std::vector<iovec> pieces_;  ///< Where their content lies,
  std::size_t piece_ = 0;      ///< from this one on to be written,
  std::size_t payload_ = 0;    ///< which are so many bytes.
  bool closed_ = false;
  std::string why_;
  net::tls::Alert alert_ = net::tls::Alert::close_notify;
  std::size_t delivered_ = 0;
};

}  // namespace scistream::relay
