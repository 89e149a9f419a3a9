#include "client/app_controller.hpp"

#include "base/wait_for.hpp"

namespace scistream::client {

namespace {

/// One hello after another while the session is not there yet.
class HelloRun : public std::enable_shared_from_this<HelloRun> {
 public:
  using Done = std::function<void(Result<session::HelloAnswer>)>;

  HelloRun(Scheduler& scheduler, control::ControlClient& client, AppHello hello, Done done)
      : scheduler_(scheduler),
        client_(client),
        hello_(std::move(hello)),
        patient_until_(scheduler.now() + hello_.patience),
        done_(std::move(done)) {}

  void send() {
    session::Hello message;
    message.uid = hello_.uid;
    message.role = hello_.role;
    message.role_is_binding = true;
    if (hello_.role == Role::producer) message.prod_listeners = to_strings(hello_.listeners);
    message.wait_ready = hello_.wait_ready;
    const auto deadline = hello_.wait_ready ? hello_.timeout : control::ControlClient::quick;
    call_ = client_.hello(message, hello_.key, deadline,
                          [self = shared_from_this()](Result<session::HelloAnswer> answer) {
                            self->on_answer(std::move(answer));
                          });
    if (cancelled_) call_->cancel();
  }

  void cancel() {
    scheduler_.post([self = shared_from_this()] {
      self->cancelled_ = true;
      if (self->call_) self->call_->cancel();
      if (self->waiting_) self->give_up();
    });
  }

 private:
  void on_answer(Result<session::HelloAnswer> answer) {
    // UNKNOWN is how a deployed server says that it does not know the session.
    const bool absent = !answer && (answer.error().cause == Cause::not_found ||
                                    answer.error().cause == Cause::failure);
    if (absent && !cancelled_ && scheduler_.now() < patient_until_) {
      waiting_ = true;
      timer_ = scheduler_.after(std::chrono::milliseconds(200), [self = shared_from_this()] {
        self->waiting_ = false;
        self->send();
      });
      return;
    }
    done_(std::move(answer));
  }

  /// Between two hellos nothing is open that could be cancelled.
  void give_up() {
    waiting_ = false;
    timer_.cancel();
    done_(Error{Cause::cancelled, "interrupted"});
  }

  Scheduler& scheduler_;
  control::ControlClient& client_;
  AppHello hello_;
  Clock::time_point patient_until_;
  Done done_;
  bool cancelled_ = false;
  bool waiting_ = false;  ///< For the time of the next hello.
  control::ControlClient::Handle call_;
  Scheduler::Timer timer_;
};

}  // namespace

AppController::AppController(ClientOptions options, Endpoint server)
    : client_(std::move(options)), server_(std::move(server)) {}

Result<session::HelloAnswer> AppController::hello(const AppHello& hello, Interrupt* interrupt) {
  if (auto status = check_uid(hello.uid); !status) return status.error();
  if (hello.role == Role::producer && hello.listeners.empty()) {
    return Error{Cause::invalid_argument,
                 "a producer says where its application listens; give --listen HOST:PORT"};
  }
  auto answer = wait_for<session::HelloAnswer>([&](auto done) {
    auto run = std::make_shared<HelloRun>(client_.scheduler(), client_.at(server_), hello, done);
    if (interrupt != nullptr) interrupt->set([run] { run->cancel(); });
    client_.scheduler().post([run] { run->send(); });
  });
  if (interrupt != nullptr) interrupt->clear();
  return answer;
}

}  // namespace scistream::client
