#include "scistream/app_controller.hpp"

#include <utility>

#include "client/app_controller.hpp"
#include "sdk/arguments.hpp"
#include "sdk/guarded.hpp"
#include "sdk/stopping.hpp"
#include "sdk/values.hpp"

namespace scistream::inline v0 {

/// The C++ controller, and what it says. Any thread.
class [[gnu::visibility("hidden")]] AppController::Impl {
 public:
  Impl(client::ClientOptions options, Endpoint server, client::AppHello hello)
      : controller_(std::move(options), std::move(server)), hello_(std::move(hello)) {}

  Result<std::vector<Endpoint>> hello(const HelloOptions& options, std::stop_token stop) {
    client::AppHello hello = hello_;
    hello.wait_ready = options.wait_ready;
    hello.patience = options.patience;
    hello.timeout = options.timeout;
    sdk::Stopping stopping(std::move(stop));
    const auto answer = controller_.hello(hello, stopping.interrupt());
    if (!answer) return answer.error();
    return sdk::usable_endpoints(answer->listeners);
  }

 private:
  client::AppController controller_;
  const client::AppHello hello_;
};

AppController::AppController(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
AppController::AppController(AppController&& other) noexcept = default;
AppController& AppController::operator=(AppController&& other) noexcept = default;
AppController::~AppController() = default;

Result<AppController> AppController::create(AppControllerOptions options) {
  return sdk::guarded([&]() -> Result<AppController> {
    if (auto status = check_uid(options.uid); !status) return status.error();
    if (options.role == Role::producer && options.listeners.empty()) {
      return Error{Cause::invalid_argument,
                   "listeners: a producer says where its application listens, host:port"};
    }
    if (auto status = sdk::check_endpoint("s2cs", options.s2cs); !status) return status.error();
    for (const Endpoint& each : options.listeners) {
      if (auto status = sdk::check_endpoint("listeners", each); !status) return status.error();
    }
    if (!options.key.empty()) {
      if (auto status = sdk::check_key("key", options.key); !status) return status.error();
    }
    auto settled = sdk::client_options(options.client);
    if (!settled) return settled.error();
    client::AppHello hello;
    hello.uid = std::move(options.uid);
    hello.role = options.role;
    hello.listeners = std::move(options.listeners);
    hello.key = std::move(options.key);
    return AppController(
        std::make_unique<Impl>(std::move(*settled), std::move(options.s2cs), std::move(hello)));
  });
}

Result<std::vector<Endpoint>> AppController::hello(const HelloOptions& options,
                                                   std::stop_token stop) {
  if (auto status = sdk::check_duration("patience", options.patience); !status)
    return status.error();
  if (auto status = sdk::check_duration("timeout", options.timeout); !status) return status.error();
  return sdk::guarded([&] { return impl_->hello(options, std::move(stop)); });
}

}  // namespace scistream::inline v0
