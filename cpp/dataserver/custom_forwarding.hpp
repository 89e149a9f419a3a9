#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/log.hpp"
#include "dataserver/forwarder.hpp"
#include "net/foreign_code.hpp"
#include "scistream/data_server.hpp"

namespace scistream::dataserver {

/// Forwards through a data server of a user's own. Whatever that does, it does on threads that are
/// there for it; what it throws ends a session, and what it never answers holds nothing up but its
/// own session, for so long.
class CustomForwarding final : public Forwarding {
 public:
  /// How long its code may take.
  struct Limits {
    std::chrono::milliseconds hurry{2'000};    ///< Of all of it, once the data server ends,
    std::chrono::milliseconds answer{30'000};  ///< `listen` and `forward`,
    std::chrono::milliseconds cut{2'500};      ///< `cut`: a client waits 5 s for a release,
    std::chrono::milliseconds traffic{2'000};  ///< `traffic` and `connections`.
  };

  CustomForwarding(boost::asio::io_context& bookkeeping, std::shared_ptr<v0::DataServer> own,
                   Info info, Limits limits, Logger log);

  [[nodiscard]] Info info() const override { return info_; }
  void reserve(const ReserveRequest& request, News news,
               Callback<std::unique_ptr<Forwarder>> done) override;
  void hurry() override { code_.hurry(limits_.hurry); }

 private:
  class CustomForwarder;
  /// What `listen` gave.
  struct Opened {
    std::vector<std::uint16_t> ports;
    std::shared_ptr<Channel> shared;
  };

  static Status cut(const Opened& opened);
  /// As users are told: its words, within bounds.
  [[nodiscard]] Error named(const Error& error) const;

  boost::asio::io_context& bookkeeping_;
  const std::shared_ptr<v0::DataServer> own_;
  const Info info_;
  const Limits limits_;
  const Logger log_;
  std::set<std::pair<std::string, std::uint16_t>> taken_;  ///< By sessions that live.
  net::ForeignCode code_;
};

/// A data server of this process that forwards so. `invalid_argument` for one that says nonsense of
/// itself.
Result<std::unique_ptr<DataServer>> make_custom_data_server(
    std::shared_ptr<v0::DataServer> own, const Logger& log,
    const CustomForwarding::Limits& limits = CustomForwarding::Limits());

}  // namespace scistream::dataserver
