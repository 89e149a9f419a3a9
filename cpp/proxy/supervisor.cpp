#include "proxy/supervisor.hpp"

#include <algorithm>
#include <charconv>
#include <csignal>
#include <system_error>
#include <tuple>
#include <utility>

#include "base/file.hpp"
#include "net/process.hpp"

namespace scistream::proxy {

namespace {

using dataserver::Callback;
using dataserver::Counters;
using dataserver::Ending;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr const char* record = "identity";
constexpr milliseconds first_pause{100};
constexpr milliseconds last_pause{5'000};
/// Who has served so long starts again at once when it dies.
constexpr std::chrono::seconds good_run{10};
constexpr milliseconds sample_period{500};
constexpr milliseconds drain_period{100};
/// How long a program that is to end may take to say what it has counted.
constexpr milliseconds last_reading{250};
/// For which a program that drains may tell nothing of its connections.
constexpr std::chrono::seconds silence_limit{10};
constexpr milliseconds time_to_die{200};
/// That an ending proxy may take before it is killed.
constexpr std::chrono::seconds end_limit{3};

}  // namespace

std::shared_ptr<Supervisor> Supervisor::make(const Site& site, const Program& program, Work work,
                                             std::vector<int> descriptors, std::string name,
                                             Logger log, News news, bool samples) {
  return std::shared_ptr<Supervisor>(new Supervisor(site, program, std::move(work),
                                                    std::move(descriptors), std::move(name),
                                                    std::move(log), std::move(news), samples));
}

Supervisor::Supervisor(const Site& site, const Program& program, Work work,
                       std::vector<int> descriptors, std::string name, Logger log, News news,
                       bool samples)
    : site_(site),
      program_(program),
      work_(std::move(work)),
      descriptors_(std::move(descriptors)),
      name_(std::move(name)),
      log_(std::move(log)),
      news_(std::move(news)),
      samples_(samples),
      pause_(first_pause),
      again_(site.context),
      next_sample_(site.context),
      patience_(site.context),
      doubt_(site.context),
      moved_(steady_clock::now()) {}

Supervisor::~Supervisor() {
  if (!child_) return;
  child_->forget();
  child_->kill();
}

void Supervisor::start(Callback<void> done) {
  starting_ = std::move(done);
  if (Status made = make_private_directory(work_.folder); !made) return answer(starting_, made);
  if (Status launched = launch(); !launched) return answer(starting_, launched);
  if (samples_) sample();
}

Status Supervisor::launch() {
  serves_ = false;
  ends_child_ = false;
  last_said_.clear();
  is_outdated_ = false;
  steering_ = program_.steer(site_);
  auto plan = steering_->prepare(work_);
  if (!plan) return plan.error();
  plan->descriptors = descriptors_;
  auto child = net::Child::start(
      site_.context, *plan,
      [this](std::string_view line) {
        const bool loud = steering_->take(line);
        if (loud) last_said_ = line;
        log_->log(loud ? spdlog::level::warn : spdlog::level::debug, "session {}: {}", name_, line);
      },
      [this](int status) { ended(status); });
  if (!child) return child.error();
  child_ = std::move(*child);
  started_ = steady_clock::now();
  // Before it can matter: who is killed from here on leaves word of what it started.
  if (Status kept = write_private_file(work_.folder / record, child_->identity()); !kept)
    log_->warn("session {}: {}", name_, kept.error().message);
  log_->debug("session {}: {} started, pid {}", name_, program_.kind, child_->pid());
  steering_->wait_ready(child_, program_.start_limit,
                        [weak = weak_from_this(), pid = child_->pid()](const Status& status) {
                          const auto self = weak.lock();
                          if (!self || !self->child_ || self->child_->pid() != pid || self->stops_)
                            return;
                          if (status) return self->serves();
                          self->last_said_ = status.error().message;
                          self->end_child();  // and its end says why
                        });
  return {};
}

void Supervisor::serves() {
  serves_ = true;
  if (starting_) return answer(starting_, {});
  if (is_outdated_) steer_anew();
  log_->info("session {}: {} serves again", name_, program_.kind);
  news_(program_.kind + " serves again");
}

void Supervisor::answer(Callback<void>& waiting, const Status& status) {
  if (const auto done = std::exchange(waiting, nullptr)) done(status);
}

void Supervisor::ended(int status) {
  if (steering_->reads_afterwards()) refresh([] {});  // by what it said last
  child_.reset();
  patience_.cancel();
  doubt_.cancel();
  before_ = before_ + std::exchange(now_, {});
  if (!stops_) before_.errors += before_.connections_active;  // which went with it
  before_.connections_active = 0;
  connections_.clear();
  if (stops_) return stopped();
  std::string why = program_.kind + " " + net::how_it_ended(status);
  if (!last_said_.empty()) why += ": " + last_said_;
  if (starting_) return answer(starting_, Error{Cause::unavailable, why});
  if (steady_clock::now() - started_ >= good_run) pause_ = first_pause;
  // The next one has the new targets.
  answer(retargeting_, {});
  log_->error("session {}: {}; started again in {} ms", name_, why, pause_.count());
  news_(why);
  start_again();
}

void Supervisor::start_again() {
  again_.expires_after(pause_);
  pause_ = std::min(pause_ * 2, last_pause);
  again_.async_wait([weak = weak_from_this()](const boost::system::error_code& ec) {
    const auto self = weak.lock();
    if (ec || !self || self->stops_) return;
    if (const Status launched = self->launch(); !launched) {
      self->log_->error("session {}: {}", self->name_, launched.error().message);
      self->news_(self->program_.kind + " cannot be started again: " + launched.error().message);
      self->start_again();
    }
  });
}

void Supervisor::retarget(std::vector<Endpoint> targets, Callback<void> done) {
  // Keys may have changed where there are some.
  if (targets == work_.targets && !work_.keys) return done({});
  work_.targets = std::move(targets);
  // What starts again takes them.
  if (!child_) return done({});
  retargeting_ = std::move(done);
  // What is starting was started with those before.
  is_outdated_ = !serves_;
  if (serves_) steer_anew();
}

void Supervisor::steer_anew() {
  is_outdated_ = false;
  steering_->retarget(work_, child_,
                      [weak = weak_from_this(), pid = child_->pid()](const Status& status) {
                        const auto self = weak.lock();
                        // Of one that dies, its end answers: the next one is started with the new
                        // targets.
                        if (!self || !self->child_ || self->child_->pid() != pid) return;
                        if (status) return answer(self->retargeting_, status);
                        self->doubt(status);
                      });
}

void Supervisor::doubt(const Status& failure) {
  // What cannot be reached may be dying, and its connections go before it does.
  doubt_.expires_after(time_to_die);
  doubt_.async_wait([weak = weak_from_this(), failure](const boost::system::error_code& ec) {
    const auto self = weak.lock();
    if (!ec && self && self->child_) answer(self->retargeting_, failure);
  });
}

void Supervisor::stop(Ending how, std::function<void()> done) {
  if (done) stopping_ = std::move(done);
  stops_ = true;
  again_.cancel();
  const Error released{Cause::cancelled, "session " + name_ + " is being released"};
  answer(starting_, released);
  answer(retargeting_, released);
  if (!child_) return stopped();
  // What has never served has no connection.
  if (how == Ending::drain && serves_) return drain();
  if (!samples_ || !serves_ || ends_child_ || steering_->reads_afterwards()) return end_child();
  // What it has counted goes with it. One that is deaf is not waited for long.
  const auto end = ending_of_this_run();
  patience_.expires_after(last_reading);
  patience_.async_wait([end](const boost::system::error_code& ec) {
    if (!ec) end();
  });
  refresh(end);
}

void Supervisor::drain() {
  drains_ = true;
  busy_ = steady_clock::now();
  steering_->drain(work_, child_, descriptors_, ending_of_this_run());
  sample();
}

std::function<void()> Supervisor::ending_of_this_run() {
  return [weak = weak_from_this(), pid = child_->pid()] {
    const auto self = weak.lock();
    if (self && self->child_ && self->child_->pid() == pid) self->end_child();
  };
}

void Supervisor::end_what_is_deaf() {
  // Nobody counts flows of datagrams that live.
  if (work_.datagrams) return;
  // By itself it would have ended by now; or it does not tell what it is at.
  const auto quiet = steady_clock::now() - busy_;
  const bool tells = steady_clock::now() - read_ < program_.end_limit;
  if (child_ && quiet >= (tells ? program_.end_limit : silence_limit)) end_child();
}

void Supervisor::end_child() {
  if (std::exchange(ends_child_, true)) return;
  child_->signal(SIGTERM);
  patience_.expires_after(program_.end_limit);
  patience_.async_wait([weak = weak_from_this()](const boost::system::error_code& ec) {
    const auto self = weak.lock();
    if (!ec && self && self->child_) self->child_->kill();
  });
}

void Supervisor::stopped() {
  patience_.cancel();
  next_sample_.cancel();
  std::error_code ignored;
  std::filesystem::remove_all(work_.folder, ignored);
  if (const auto done = std::exchange(stopping_, nullptr)) done();
}

void Supervisor::sample() {
  next_sample_.expires_after(drains_ ? drain_period : sample_period);
  next_sample_.async_wait([weak = weak_from_this()](const boost::system::error_code& ec) {
    const auto self = weak.lock();
    if (ec || !self) return;
    self->refresh([weak] {
      const auto still = weak.lock();
      if (!still || (still->stops_ && !still->child_)) return;
      if (still->drains_) still->end_what_is_deaf();
      still->sample();
    });
  });
}

void Supervisor::refresh(std::function<void()> done) {
  if (!child_ || !serves_) return done();
  steering_->read([weak = weak_from_this(), pid = child_->pid(),
                   done = std::move(done)](const Result<Reading>& reading) {
    const auto self = weak.lock();
    if (self && reading && self->child_ && self->child_->pid() == pid) self->count(*reading);
    done();
  });
}

void Supervisor::count(Reading reading) {
  const Counters& now = reading.counters;
  connections_ = std::move(reading.connections);
  const auto all = [](const Counters& c) {
    return std::tuple(c.bytes_to_consumer, c.bytes_to_producer, c.connections_active,
                      c.connections_total);
  };
  read_ = steady_clock::now();
  if (now.connections_active > 0) busy_ = read_;
  if (all(now) != all(now_)) moved_ = read_;
  now_ = now;
}

Counters Supervisor::counters() const {
  Counters sum = before_ + now_;
  sum.connections_active = now_.connections_active;
  sum.idle = std::chrono::duration_cast<milliseconds>(steady_clock::now() - moved_);
  return sum;
}

void reap(const std::filesystem::path& folder, const Logger& log) {
  const auto identity = read_file(folder / record, 256);
  const auto end = [&](const net::Process& process) {
    log->warn("ending pid {}, which an earlier data server left in {}", process.pid(),
              folder.string());
    process.signal(SIGTERM);
    if (!process.ends_within(end_limit)) process.signal(SIGKILL);
    (void)process.ends_within(end_limit);
  };
  if (const auto process = net::Process::find(identity ? *identity : "")) end(*process);
  // Its workers, should it have been killed as well. Nobody else runs in this folder.
  pid_t session = 0;
  if (identity) std::from_chars(identity->data(), identity->data() + identity->size(), session);
  for (const pid_t pid : session > 0 ? net::session_members(session, folder) : std::vector<pid_t>())
    if (const auto member = net::Process::open(pid)) end(*member);
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
}

}  // namespace scistream::proxy
