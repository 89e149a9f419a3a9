#include "control/credentials.hpp"

#include <utility>

#include "base/endpoint.hpp"
#include "base/file.hpp"

namespace scistream::control {

Result<TlsFiles> read_mutual_tls(const std::filesystem::path& ca,
                                 const std::filesystem::path& certificate,
                                 const std::filesystem::path& key) {
  TlsFiles files;
  for (const auto& [path, text] :
       {std::pair{&ca, &files.roots}, {&certificate, &files.certificate}, {&key, &files.key}}) {
    auto content = read_file(*path);
    if (!content) return content.error();
    *text = std::move(*content);
  }
  return files;
}

std::shared_ptr<grpc::ServerCredentials> server_credentials(bool tls, const TlsFiles& files) {
  if (!tls) return grpc::InsecureServerCredentials();
  grpc::SslServerCredentialsOptions options(
      files.roots.empty() ? GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE
                          : GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  options.pem_key_cert_pairs.push_back({files.key, files.certificate});
  options.pem_root_certs = files.roots;
  return grpc::SslServerCredentials(options);
}

std::shared_ptr<grpc::ChannelCredentials> channel_credentials(bool tls, const TlsFiles& files) {
  if (!tls) return grpc::InsecureChannelCredentials();
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = files.roots;
  options.pem_private_key = files.key;
  options.pem_cert_chain = files.certificate;
  return grpc::SslCredentials(options);
}

std::shared_ptr<grpc::Channel> make_channel(
    const std::string& target, const std::shared_ptr<grpc::ChannelCredentials>& credentials,
    bool watchdog) {
  grpc::ChannelArguments arguments;
  // Two users of one process must not inherit each other's connection or its back-off.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  // A list of a thousand sessions that have hundreds of listeners each.
  arguments.SetMaxReceiveMessageSize(128 << 20);
  const auto endpoint = parse_endpoint(target);
  if (!endpoint || is_loopback(endpoint->host)) arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  if (watchdog) {
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 1000);
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 1000);
    arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
    arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  }
  return grpc::CreateCustomChannel(target, credentials, arguments);
}

}  // namespace scistream::control
