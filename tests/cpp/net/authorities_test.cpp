#include "net/authorities.hpp"

#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>

#include "net/certificate.hpp"
#include "net/openssl_free.hpp"
#include "support/temporary_directory.hpp"

namespace scistream::net {
namespace {

using Context = std::unique_ptr<SSL_CTX, OpensslFree<SSL_CTX_free>>;

/// For as long as it lives.
class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) {
    ::setenv(name, value.c_str(), 1);  // NOLINT(concurrency-mt-unsafe)
  }
  ~Variable() { ::unsetenv(name_); }  // NOLINT(concurrency-mt-unsafe)
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
};

TEST(AuthoritiesTest, ThoseOfTheEnvironmentAreTrusted) {
  const TemporaryDirectory folder;
  const auto path = folder.path() / "roots.pem";
  std::ofstream(path) << make_self_signed({"localhost"}).value().certificate;
  const Variable file("SSL_CERT_FILE", path.string());
  const Context context(SSL_CTX_new(TLS_client_method()));
  ASSERT_TRUE(trust_system(context.get()));
  auto* store = SSL_CTX_get_cert_store(context.get());
  EXPECT_EQ(sk_X509_OBJECT_num(X509_STORE_get0_objects(store)), 1);
}

}  // namespace
}  // namespace scistream::net
