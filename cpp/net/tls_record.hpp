#pragma once

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/secret.hpp"
#include "net/tls_suite.hpp"

struct evp_cipher_ctx_st;

namespace scistream::net {

/// TLS 1.3 records after the handshake (RFC 8446, 5), made and opened where they lie in memory.
/// Pure: no sockets, no threads. Errors are those a peer can cause; the cipher itself failing is
/// std::runtime_error.
namespace tls {

inline constexpr std::size_t header_size = 5;
inline constexpr std::size_t tag_size = 16;
inline constexpr std::size_t most_content = 1U << 14U;
/// What sealing adds: header, content type, tag.
inline constexpr std::size_t overhead = header_size + 1 + tag_size;
inline constexpr std::size_t most_record = most_content + overhead;
/// Of a record of any peer, which may pad (RFC 8446, 5.2).
inline constexpr std::size_t most_foreign_record = header_size + most_content + 256;
/// Records under one key before it is replaced: below the 2^24.5 that RFC 8446, 5.5 allows.
inline constexpr std::uint64_t most_records = 1ULL << 24U;

enum class ContentType : std::uint8_t { alert = 21, handshake = 22, application_data = 23 };

enum class Alert : std::uint8_t {
  close_notify = 0,
  unexpected_message = 10,
  bad_record_mac = 20,
  record_overflow = 22,
  decode_error = 50,
  user_canceled = 90,
};

}  // namespace tls

/// The cipher and the keys of one direction: traffic secret, key, nonce, record number. Wiped when
/// it dies. Not thread-safe.
class RecordKey {
 public:
  RecordKey(Ciphersuite suite, Secret traffic_secret, bool sealing, std::uint64_t number = 0);
  RecordKey(RecordKey&&) noexcept;
  RecordKey& operator=(RecordKey&&) noexcept;
  ~RecordKey();

  /// `header` is authenticated; `content` is sealed in place and `tag` written.
  void seal(std::span<const std::uint8_t> header, std::span<std::uint8_t> content,
            std::uint8_t* tag);
  /// Opens in place; false if it is not what was sealed.
  [[nodiscard]] bool open(std::span<const std::uint8_t> header, std::span<std::uint8_t> content,
                          const std::uint8_t* tag);

  /// Replaces the keys by the next generation (RFC 8446, 7.2).
  void update();

  /// Of the next record under this key.
  [[nodiscard]] std::uint64_t number() const noexcept { return number_; }
  [[nodiscard]] Ciphersuite suite() const noexcept { return suite_; }

  /// For a process that takes over this connection. Whoever goes on under it must be the only one:
  /// two records of one number give their content away.
  struct State {
    Ciphersuite suite{};
    Secret traffic_secret;
    std::uint64_t number = 0;
  };
  [[nodiscard]] State state() const { return {suite_, secret_, number_}; }

 private:
  void install();
  [[nodiscard]] std::array<std::uint8_t, 12> nonce() const noexcept;

  Ciphersuite suite_;
  Secret secret_;
  bool sealing_;
  std::uint64_t number_;
  std::array<std::uint8_t, 12> iv_{};
  struct Free {
    void operator()(evp_cipher_ctx_st* context) const noexcept;
  };
  std::unique_ptr<evp_cipher_ctx_st, Free> context_;
};

/// Makes the records of one direction.
class RecordWriter {
 public:
  explicit RecordWriter(RecordKey key) : key_(std::move(key)) {}

  struct State {
    RecordKey::State key;
    bool asked = false;  ///< The peer wants another key.
  };
  [[nodiscard]] State state() const { return {key_.state(), asked_}; }
  explicit RecordWriter(State state)
      : key_(state.key.suite, std::move(state.key.traffic_secret), true, state.key.number),
        asked_(state.asked) {}

  /// Seals the `size` bytes that lie `tls::header_size` behind `record`, which has room for
  /// `tls::overhead` more; returns the record's size. `size` is at most `tls::most_content`.
  std::size_t seal(std::uint8_t* record, std::size_t size,
                   tls::ContentType type = tls::ContentType::application_data);
  /// A whole alert record, of `alert_size` bytes. The last one of its direction.
  static constexpr std::size_t alert_size = tls::overhead + 2;
  void seal_alert(std::uint8_t* record, tls::Alert alert);
  /// A whole record, of `key_update_size` bytes, after which the next key is used.
  static constexpr std::size_t key_update_size = tls::overhead + 5;
  void seal_key_update(std::uint8_t* record);

  /// The key has sealed enough, or the peer has asked for another: `seal_key_update` comes next.
  [[nodiscard]] bool wants_key_update() const noexcept {
    return asked_ || key_.number() >= tls::most_records;
  }
  /// The peer wants to see a new key before the next content.
  void ask_key_update() noexcept { asked_ = true; }
  [[nodiscard]] const RecordKey& key() const noexcept { return key_; }

 private:
  RecordKey key_;
  bool asked_ = false;
};

/// Opens the records of one direction, and does what those ask for that are not content.
class RecordReader {
 public:
  explicit RecordReader(RecordKey key) : key_(std::move(key)) {}

  struct State {
    RecordKey::State key;
    std::vector<std::uint8_t> message;  ///< The start of one in several records.
    unsigned empty_records = 0;
  };
  [[nodiscard]] State state() const { return {key_.state(), message_, empty_records_}; }
  explicit RecordReader(State state)
      : key_(state.key.suite, std::move(state.key.traffic_secret), false, state.key.number),
        message_(std::move(state.message)),
        empty_records_(state.empty_records) {}

  enum class Stream {
    open,
    closed,  ///< The peer has said that no more comes.
    failed,  ///< Never look at it again; `alert` and `why` say what was wrong.
  };
  struct Batch {
    std::size_t consumed = 0;  ///< Bytes of complete records.
    Stream stream = Stream::open;
    tls::Alert alert = tls::Alert::close_notify;  ///< To tell the peer, of a failure.
    std::string why;
    bool key_update_requested = false;
  };

  /// Opens, in place, the complete records at the start of `bytes`, and appends where their content
  /// lies to `content`, at most `most` pieces in all. What is left begins `consumed` behind the
  /// start.
  Batch read(std::span<std::uint8_t> bytes, std::vector<iovec>& content, std::size_t most);

  [[nodiscard]] const RecordKey& key() const noexcept { return key_; }

 private:
  void on_alert(std::span<const std::uint8_t> content, Batch& batch);
  void on_handshake(std::span<const std::uint8_t> content, Batch& batch);

  RecordKey key_;
  std::vector<std::uint8_t> message_;  ///< The start of a handshake message in several records.
  unsigned empty_records_ = 0;         ///< In a row.
};

}  // namespace scistream::net
