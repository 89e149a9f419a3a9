#pragma once

#include <boost/asio/execution_context.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace scistream::relay {

/// The idle buffers of one I/O context, owned by that context and found with
/// `boost::asio::use_service<BufferPool>(context)`. Touched by the context's thread only.
///
/// As with pipes, a connection owns one only while bytes are in it.
class BufferPool final : public boost::asio::execution_context::service {
 public:
  using key_type = BufferPool;
  static boost::asio::execution_context::id id;

  /// Of every buffer. Past half a MiB they fall out of the second-level cache.
  static constexpr std::size_t size = 544U << 10U;
  using Buffer = std::unique_ptr<std::uint8_t[]>;

  explicit BufferPool(boost::asio::execution_context& context) : service(context) {}

  /// Uninitialised; null without memory.
  Buffer acquire() noexcept;
  void give_back(Buffer buffer) noexcept;

 private:
  void shutdown() override { idle_.clear(); }

  std::vector<Buffer> idle_;
};

}  // namespace scistream::relay
