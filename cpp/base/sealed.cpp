#include "base/sealed.hpp"

#include <openssl/evp.h>

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <vector>

#include "base/base64url.hpp"

namespace scistream {

namespace {

constexpr std::size_t nonce_size = 12;
constexpr std::size_t tag_size = 16;

using Context = std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)>;

enum class Direction { open = 0, seal = 1 };

void must(int done) {
  if (done != 1) throw std::runtime_error("OpenSSL offers no AES-256-GCM");
}

const std::uint8_t* bytes_of(std::string_view text) {
  return reinterpret_cast<const std::uint8_t*>(text.data());
}

Context begin(const Secret& key, const std::uint8_t* nonce, std::string_view context,
              Direction direction) {
  if (key.size() != sealing_key_size)
    throw std::invalid_argument("texts are sealed with keys of 32 bytes");
  Context cipher(EVP_CIPHER_CTX_new(), &EVP_CIPHER_CTX_free);
  must(cipher ? 1 : 0);
  must(EVP_CipherInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, key.bytes().data(), nonce,
                         static_cast<int>(direction)));
  int ignored = 0;
  must(EVP_CipherUpdate(cipher.get(), nullptr, &ignored, bytes_of(context),
                        static_cast<int>(context.size())));
  return cipher;
}

}  // namespace

std::string seal(const Secret& key, std::string_view context, std::string_view text) {
  const Secret nonce = Secret::random(nonce_size);
  std::vector<std::uint8_t> all(nonce.bytes().begin(), nonce.bytes().end());
  all.resize(nonce_size + text.size() + tag_size);
  const auto cipher = begin(key, all.data(), context, Direction::seal);
  int size = 0;
  must(EVP_CipherUpdate(cipher.get(), all.data() + nonce_size, &size, bytes_of(text),
                        static_cast<int>(text.size())));
  must(EVP_CipherFinal_ex(cipher.get(), all.data() + nonce_size + size, &size));
  must(EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_GET_TAG, static_cast<int>(tag_size),
                           all.data() + nonce_size + text.size()));
  return base64url(all);
}

std::optional<Secret> unseal(const Secret& key, std::string_view context, std::string_view sealed) {
  auto all = from_base64url(sealed);
  if (!all || all->size() < nonce_size + tag_size) return std::nullopt;
  const auto cipher = begin(key, bytes_of(*all), context, Direction::open);
  std::string text(all->size() - nonce_size - tag_size, '\0');
  const Wiped wiped(text);
  int size = 0;
  must(EVP_CipherUpdate(cipher.get(), reinterpret_cast<std::uint8_t*>(text.data()), &size,
                        bytes_of(*all) + nonce_size, static_cast<int>(text.size())));
  must(EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_SET_TAG, static_cast<int>(tag_size),
                           all->data() + nonce_size + text.size()));
  std::uint8_t none = 0;
  if (EVP_CipherFinal_ex(cipher.get(), &none, &size) != 1) return std::nullopt;
  return Secret(std::string_view(text));
}

}  // namespace scistream
