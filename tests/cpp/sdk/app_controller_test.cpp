#include <chrono>
#include <future>
#include <stop_token>

#include "sdk/two_facilities.hpp"

namespace scistream::test {
namespace {

class SdkAppController : public TwoFacilities {
 protected:
  [[nodiscard]] AppControllerOptions producer() const {
    AppControllerOptions options;
    options.uid = "nobody";
    options.s2cs = prod->endpoint();
    options.listeners = {{"127.0.0.1", 7000}};
    options.client = trust();
    return options;
  }
};

TEST_F(SdkAppController, SaysWhatIsWrongWithItsOptions) {
  const auto cause_of = [this](auto change) {
    AppControllerOptions options = producer();
    change(options);
    return why(AppController::create(options)).cause;
  };
  using O = AppControllerOptions;
  EXPECT_EQ(cause_of([](O& o) { o.uid = ""; }), Cause::invalid_argument);
  EXPECT_EQ(cause_of([](O& o) { o.listeners.clear(); }), Cause::invalid_argument);
  EXPECT_EQ(cause_of([](O& o) { o.listeners = {{}}; }), Cause::invalid_argument);
  EXPECT_EQ(cause_of([](O& o) { o.s2cs = {}; }), Cause::invalid_argument);
  EXPECT_EQ(cause_of([](O& o) { o.key = Secret("short"); }), Cause::invalid_argument);
  EXPECT_EQ(cause_of([](O& o) { o.client.client_key = "k.pem"; }), Cause::invalid_argument);
}

TEST_F(SdkAppController, AHelloToNoSessionIsNotFound) {
  auto controller = must(AppController::create(producer()));
  EXPECT_EQ(why(controller.hello()).cause, Cause::not_found);
}

TEST_F(SdkAppController, AHelloWithAnotherKeyIsUnauthenticated) {
  const auto pending = must(client->begin(waiting()));
  AppControllerOptions options = application(pending, Role::producer);
  options.key = Secret::random(key_size);
  auto controller = must(AppController::create(options));
  HelloOptions patient;
  patient.patience = std::chrono::seconds(30);
  EXPECT_EQ(why(controller.hello(patient)).cause, Cause::unauthenticated);
}

TEST_F(SdkAppController, AStopEndsAWaitThatIsPatient) {
  auto controller = must(AppController::create(producer()));
  HelloOptions patient;
  patient.patience = std::chrono::hours(1);
  std::stop_source stop;
  auto hello = std::async(std::launch::async,
                          [&] { return why(controller.hello(patient, stop.get_token())).cause; });
  EXPECT_EQ(hello.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout);
  stop.request_stop();
  EXPECT_EQ(hello.get(), Cause::cancelled);
}

}  // namespace
}  // namespace scistream::test
