#pragma once

#include <boost/asio/execution_context.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstddef>
#include <vector>

namespace scistream::relay {

class Batching;

/// Those of one I/O context that wait for a batch, and the clock that makes them give way. Owned by
/// the context and found with `boost::asio::use_service<BatchClock>(context)`; touched by its
/// thread only. Stands still while nobody waits.
class BatchClock final : public boost::asio::execution_context::service {
 public:
  using key_type = BatchClock;
  static boost::asio::execution_context::id id;

  /// Who has waited for one to two of these gives way: what a batch costs at most.
  static constexpr std::chrono::microseconds period{500};

  explicit BatchClock(boost::asio::execution_context& context);

  void add(Batching& waiting);
  void remove(Batching& waiting) noexcept;
  [[nodiscard]] std::size_t waiting() const noexcept { return waiting_.size(); }

 private:
  void shutdown() override { timer_.cancel(); }
  void start();
  void tick();

  boost::asio::steady_timer timer_;
  bool running_ = false;
  std::vector<Batching*> waiting_;
};

/// Lets a pump whose source sends much wait until a batch has come, which saves wake-ups and small
/// batches of records, unless as much comes by itself. It learns from waits in vain: a stream that
/// pauses now and then, such as questions and answers, is soon left alone. Belongs to one pump.
class Batching {
 public:
  /// `level`: bytes to wait for; 0 is none of this.
  Batching(boost::asio::io_context& context, std::size_t level) noexcept;
  ~Batching() { stop(); }
  Batching(const Batching&) = delete;
  Batching& operator=(const Batching&) = delete;

  /// So much has come from the source.
  void came(std::size_t bytes) noexcept {
    streak_ += bytes;
    woken_ += bytes;
  }
  /// The pump is about to wait until `socket` is readable, which this may put off.
  void begin_wait(int socket);
  /// The wait is over.
  void end_wait() noexcept;
  /// Lets the socket hold so much: TCP measures what a reader wants by how it reads, and one that
  /// waits for its turn now and then would keep a window smaller than its piece.
  void make_room(int socket, std::size_t bytes) noexcept;
  /// No wait comes after this.
  void stop() noexcept { end_wait(); }
  /// As stop(), and leaves the socket as it was found, for somebody else.
  void leave() noexcept;

 private:
  friend class BatchClock;

  /// Waited long enough.
  void give_way() noexcept;

  /// Bytes without a wait in vain after which waiting is worth trying,
  static constexpr std::size_t first_trust = 32U << 20U;
  /// and after many in vain.
  static constexpr std::size_t last_trust = 1U << 30U;
  /// After so many waits for the level one does without, to see what comes by itself.
  static constexpr unsigned most_in_a_row = 32;
  /// Where more of a thread's pumps would wait, the others keep it busy while each one's batch
  /// comes by itself.
  static constexpr std::size_t most_waiting = 4;

  BatchClock& clock_;
  const std::size_t level_;
  std::size_t room_ = 0;  ///< The most that was made.
  std::size_t streak_ = 0;
  std::size_t woken_ = 0;  ///< Bytes since the last wait.
  bool lean_ = false;      ///< Less than the level comes at a time where nobody waits for it.
  unsigned in_a_row_ = 0;  ///< Waits for the level.
  std::size_t trust_ = first_trust;
  int socket_ = -1;
  bool raised_ = false;    ///< The socket's low-water mark is at the level.
  std::size_t place_ = 0;  ///< Among those that wait.
  bool waits_ = false;
  int ticks_ = 0;  ///< Since it waits.
};

}  // namespace scistream::relay
