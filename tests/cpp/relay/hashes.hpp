#pragma once

#include <openssl/evp.h>

#include <memory>
#include <string>
#include <vector>

#include "net/sockets.hpp"

namespace scistream::test {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr std::size_t slower = 10;
#else
inline constexpr std::size_t slower = 1;
#endif

/// SHA-256 of what a stream carries, taken as it comes.
class Hash {
 public:
  Hash() { EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr); }
  void add(const void* bytes, std::size_t size) { EVP_DigestUpdate(context_.get(), bytes, size); }
  std::string take() {
    std::string digest(32, '\0');
    EVP_DigestFinal_ex(context_.get(), reinterpret_cast<unsigned char*>(digest.data()), nullptr);
    return digest;
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_{EVP_MD_CTX_new(),
                                                                   EVP_MD_CTX_free};
};

/// Adds all that comes until the end of the stream; false if it did not end well.
inline bool read_to_end(int socket, Hash& hash) {
  std::vector<char> buffer(1U << 18U);
  for (;;) {
    if (poll_for(socket, POLLIN) != 1) return false;
    const ssize_t got = ::recv(socket, buffer.data(), buffer.size(), 0);
    if (got <= 0) return got == 0;
    hash.add(buffer.data(), static_cast<std::size_t>(got));
  }
}

/// The hash of all that comes until the end of the stream; empty if it did not end well.
inline std::string hash_of(int socket) {
  Hash hash;
  return read_to_end(socket, hash) ? hash.take() : std::string();
}

/// Sends `size` bytes, `block` again and again, and ends the stream; the hash of them, empty if
/// they could not be sent.
inline std::string send_hashed(int socket, std::string_view block, std::size_t size) {
  Hash hash;
  for (std::size_t left = size; left > 0;) {
    const std::size_t part = std::min(left, block.size());
    hash.add(block.data(), part);
    try {
      send_all(socket, block.substr(0, part));
    } catch (const std::system_error&) {
      return {};
    }
    left -= part;
  }
  half_close(socket);
  return hash.take();
}

}  // namespace scistream::test
