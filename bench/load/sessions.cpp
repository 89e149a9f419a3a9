// Many sessions at one control server: some that stand and stream, others that come and go at a
// steady rate meanwhile. Prints, as JSON, how long each rpc took for the latter.
//
//   bench_sessions S2CS CERTIFICATE SINK STANDING STREAMS PER_SECOND SECONDS
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/file.hpp"
#include "common.hpp"
#include "control/control_client.hpp"
#include "net/asio_scheduler.hpp"
#include "net/fd.hpp"

namespace {

using namespace scistream;  // NOLINT(google-build-using-namespace): a program, not a header
using Steady = std::chrono::steady_clock;

constexpr std::size_t message_bytes = 64U << 10U;
constexpr std::chrono::milliseconds patience{60'000};

[[noreturn]] void die(const std::string& why) {
  std::fprintf(stderr, "bench_sessions: %s\n", why.c_str());
  std::exit(1);
}

double ms_since(Steady::time_point start) {
  return std::chrono::duration<double, std::milli>(Steady::now() - start).count();
}

/// Sends messages to and fro until told to stop.
void stream(const std::string& listener, const std::atomic<bool>& stop,
            std::atomic<std::uint64_t>& bytes) {
  const net::Fd connection(
      bench::connect_to(bench::address_of(listener, ZeroPort::refused),
                        {bench::echo, {}, static_cast<std::uint32_t>(message_bytes)}));
  std::vector<char> buffer(message_bytes);
  while (!stop) {
    if (::send(connection.get(), buffer.data(), buffer.size(), MSG_NOSIGNAL) !=
        static_cast<ssize_t>(buffer.size()))
      die("a stream broke");
    if (::recv(connection.get(), buffer.data(), buffer.size(), MSG_WAITALL) !=
        static_cast<ssize_t>(buffer.size()))
      die("a stream broke");
    bytes += 2 * buffer.size();
  }
}

/// How long each rpc of a session took, in milliseconds.
struct Times {
  double req = 0;  ///< Sent together with its hello, which it waits for.
  double hello = 0;
  double update = 0;
  double release = 0;
  std::string listener;
};

/// One session, from its req to its update, and its release if asked to. Owned by its calls.
class Visit : public std::enable_shared_from_this<Visit> {
 public:
  using Done = std::function<void(const Times&)>;
  Visit(control::ControlClient& client, Endpoint target, bool stays, Done done)
      : client_(client), target_(std::move(target)), stays_(stays), done_(std::move(done)) {}

  void start() {
    begun_ = Steady::now();
    session::Request request;
    request.key = {uid_, Role::producer};
    request.protocol = "tcp";
    (void)client_.request(request, patience, [self = shared_from_this()](auto answer) {
      if (!answer) die("req: " + answer.error().message);
      self->times_.req = ms_since(self->begun_);
      self->times_.listener = answer->listeners.front();
      self->greeted_and_answered();
    });
    session::Hello hello;
    hello.uid = uid_;
    hello.role = Role::producer;
    hello.role_is_binding = true;
    hello.prod_listeners = {to_string(target_)};
    (void)client_.hello(hello, {}, patience, [self = shared_from_this()](const auto& answer) {
      if (!answer) die("hello: " + answer.error().message);
      self->times_.hello = ms_since(self->begun_);
      self->greeted_and_answered();
    });
  }

 private:
  void greeted_and_answered() {
    if (++arrived_ < 2) return;
    const auto start = Steady::now();
    session::UpdateTargets update;
    update.uid = uid_;
    update.role = Role::producer;
    update.targets = {target_};
    (void)client_.update(update, [self = shared_from_this(), start](const auto& answer) {
      if (!answer) die("update: " + answer.error().message);
      self->times_.update = ms_since(start);
      if (self->stays_) return self->done_(self->times_);
      const auto releasing = Steady::now();
      (void)self->client_.release(self->uid_, "", [self, releasing](const Status& status) {
        if (!status) die("release: " + status.error().message);
        self->times_.release = ms_since(releasing);
        self->done_(self->times_);
      });
    });
  }

  control::ControlClient& client_;
  const Endpoint target_;
  const bool stays_;
  const Done done_;
  const std::string uid_ = random_uid();
  Steady::time_point begun_;
  Times times_;
  int arrived_ = 0;
};

/// Collects what visits end with.
class Visits {
 public:
  Visit::Done taker() {
    return [this](const Times& times) {
      const std::lock_guard lock(mutex_);
      all_.push_back(times);
      changed_.notify_all();
    };
  }
  std::vector<Times> wait_for(std::size_t count) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, patience, [&] { return all_.size() >= count; }))
      die("only " + std::to_string(all_.size()) + " of " + std::to_string(count) + " sessions");
    return all_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Times> all_;
};

void print(const char* name, std::vector<double> values, bool last) {
  std::sort(values.begin(), values.end());
  std::printf(R"("%s": {"p50_ms": %.3f, "p99_ms": %.3f}%s)", name, bench::quantile(values, 50),
              bench::quantile(values, 99), last ? "" : ", ");
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 8) {
    std::fprintf(
        stderr,
        "Usage: bench_sessions S2CS CERTIFICATE SINK STANDING STREAMS PER_SECOND SECONDS\n");
    return 2;
  }
  const auto server = parse_endpoint(argv[1]);
  const auto roots = read_file(argv[2]);
  const auto sink = parse_endpoint(argv[3]);
  if (!server || !roots || !sink) die("a bad address or certificate");
  const auto standing = bench::number_of<std::size_t>("STANDING", argv[4], 1, 100'000);
  const auto streams = bench::number_of<std::size_t>("STREAMS", argv[5], 0, standing);
  const auto per_second = bench::number_of("PER_SECOND", argv[6], 1.0, 1e6);
  const auto seconds = bench::number_of("SECONDS", argv[7], 0.1, 3600.0);
  const Endpoint& target = *sink;

  net::AsioScheduler scheduler;
  auto client = std::make_unique<control::ControlClient>(
      scheduler, control::ServerAccess{*server, true, *roots});

  Visits stay;
  constexpr std::size_t at_once = 64;
  for (std::size_t i = 0; i < standing; ++i) {
    if (i >= at_once) (void)stay.wait_for(i - at_once + 1);
    std::make_shared<Visit>(*client, target, true, stay.taker())->start();
  }
  const auto set_up = stay.wait_for(standing);

  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> bytes{0};
  std::vector<std::thread> streaming;
  for (std::size_t i = 0; i < streams; ++i)
    streaming.emplace_back([&, i] { stream(set_up[i].listener, stop, bytes); });

  Visits pass;
  const auto count = static_cast<std::size_t>(per_second * seconds);
  const auto start = Steady::now();
  for (std::size_t i = 0; i < count; ++i) {
    std::this_thread::sleep_until(
        start + std::chrono::duration_cast<Steady::duration>(
                    std::chrono::duration<double>(static_cast<double>(i) / per_second)));
    std::make_shared<Visit>(*client, target, false, pass.taker())->start();
  }
  const auto passed = pass.wait_for(count);
  const double took = ms_since(start) / 1e3;
  const auto streamed = static_cast<double>(bytes.load());
  stop = true;
  for (std::thread& each : streaming) each.join();
  client.reset();
  scheduler.stop();

  const auto all = [&](double Times::* rpc) {
    std::vector<double> values;
    values.reserve(passed.size());
    for (const Times& times : passed) values.push_back(times.*rpc);
    return values;
  };
  std::printf(R"({"sessions": %zu, "per_second": %.1f, "streamed_gb_per_s": %.3f, )", passed.size(),
              static_cast<double>(passed.size()) / took, streamed / took * 1e-9);
  print("req", all(&Times::req), false);
  print("hello", all(&Times::hello), false);
  print("update", all(&Times::update), false);
  print("release", all(&Times::release), true);
  std::printf("}\n");
  return 0;
} catch (const std::exception& error) {
  die(error.what());
}
