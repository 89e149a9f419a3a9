#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "base/error.hpp"
#include "control/grpc.hpp"

namespace scistream::control {

/// PEM texts of one end of a TLS channel. Empty certificate and key: this end shows none. Empty
/// roots: on a client the system's authorities, on a server no client certificate is asked for.
struct TlsFiles {
  std::string certificate;
  std::string key;
  std::string roots;
};

/// The three files of mutual TLS; the error names the one that cannot be read.
Result<TlsFiles> read_mutual_tls(const std::filesystem::path& ca,
                                 const std::filesystem::path& certificate,
                                 const std::filesystem::path& key);

std::shared_ptr<grpc::ServerCredentials> server_credentials(bool tls, const TlsFiles& files);
std::shared_ptr<grpc::ChannelCredentials> channel_credentials(bool tls, const TlsFiles& files);

/// A channel of its own, with short reconnect times and no connection shared with other channels.
/// `target` is `host:port` or `unix:PATH`. `watchdog`: ping an idle peer every second, so that its
/// loss is noticed within 2 s; only for peers that allow it.
std::shared_ptr<grpc::Channel> make_channel(
    const std::string& target, const std::shared_ptr<grpc::ChannelCredentials>& credentials,
    bool watchdog);

}  // namespace scistream::control
