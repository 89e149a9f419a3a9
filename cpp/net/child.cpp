#include "net/child.hpp"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>

namespace scistream::net {

namespace {

/// A line longer than this is cut.
constexpr std::size_t most_line = 4096;
constexpr int first_descriptor = 3;

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

/// What the child does between fork and exec: this program has threads, so only what is
/// async-signal-safe, on what was made ready before.
struct Start {
  char* const* arguments;
  char* const* environment;
  char* pid_digits;  ///< Room for the child's number within its environment, or null.
  const char* folder;
  std::vector<int>& descriptors;  ///< Above the numbers that they are to have.
  int input;
  int output;
  int complaints;
  int farewell;
  pid_t parent;

  [[noreturn]] void run() const noexcept {
    ::setsid();
    ::umask(077);  // what it writes is nobody else's
    ::prctl(PR_SET_PDEATHSIG, farewell);
    if (::getppid() != parent) ::_exit(1);  // it died before
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_DFL);
    if (pid_digits != nullptr) write_pid();
    bool good = ::chdir(folder) == 0 && ::dup2(input, STDIN_FILENO) >= 0 &&
                ::dup2(output, STDOUT_FILENO) >= 0 && ::dup2(output, STDERR_FILENO) >= 0;
    int next = first_descriptor;
    for (const int descriptor : descriptors) good = good && ::dup2(descriptor, next++) >= 0;
    if (good) {
      // Everything above is ours and closes at exec, however many there are.
      ::close_range(static_cast<unsigned>(next), ~0U, CLOSE_RANGE_CLOEXEC);
      ::execve(arguments[0], arguments, environment);
    }
    const int why = errno;
    (void)!::write(complaints, &why, sizeof why);
    ::_exit(127);
  }

  void write_pid() const noexcept {
    char* place = pid_digits;
    std::array<char, 16> digits;
    std::size_t count = 0;
    for (pid_t rest = ::getpid(); rest > 0; rest /= 10)
      digits[count++] = static_cast<char>('0' + rest % 10);
    while (count > 0) *place++ = digits[--count];
    *place = '\0';
  }
};

}  // namespace

Result<std::shared_ptr<Child>> Child::start(boost::asio::io_context& context, const ChildPlan& plan,
                                            Line line, Ended ended) {
  std::vector<std::string> argument_texts = plan.arguments;
  std::vector<std::string> environment_texts = plan.environment;
  const std::string folder = plan.folder.empty() ? "/" : plan.folder.string();
  if (!plan.pid_variable.empty()) environment_texts.push_back(plan.pid_variable + "=0123456789");
  const auto arguments = pointers_to(argument_texts);
  const auto environment = pointers_to(environment_texts);
  char* const pid_digits = plan.pid_variable.empty()
                               ? nullptr
                               : environment_texts.back().data() + plan.pid_variable.size() + 1;

  std::array<int, 2> output_ends{};
  std::array<int, 2> complaint_ends{};
  if (::pipe2(output_ends.data(), O_CLOEXEC) != 0) return errno_error("cannot make a pipe", errno);
  Fd output(output_ends[0]);
  const Fd output_in(output_ends[1]);
  if (::pipe2(complaint_ends.data(), O_CLOEXEC) != 0)
    return errno_error("cannot make a pipe", errno);
  const Fd complaints(complaint_ends[0]);
  Fd complaints_in(complaint_ends[1]);
  const Fd input(::open("/dev/null", O_RDONLY | O_CLOEXEC));

  // Out of the way of the numbers that they are to have; also so that dup2 clears close-on-exec.
  std::vector<Fd> moved;
  std::vector<int> descriptors;
  const int above = first_descriptor + static_cast<int>(plan.descriptors.size());
  for (const int descriptor : plan.descriptors) {
    moved.emplace_back(::fcntl(descriptor, F_DUPFD_CLOEXEC, above));
    if (!moved.back()) return errno_error("cannot pass a socket on", errno);
    descriptors.push_back(moved.back().get());
  }
  Fd safe_output(::fcntl(output_in.get(), F_DUPFD_CLOEXEC, above));
  Fd safe_complaints(::fcntl(complaints_in.get(), F_DUPFD_CLOEXEC, above));
  if (!input || !safe_output || !safe_complaints) return errno_error("cannot start it", errno);

  const Start start{arguments.data(), environment.data(), pid_digits,        folder.c_str(),
                    descriptors,      input.get(),        safe_output.get(), safe_complaints.get(),
                    plan.farewell,    ::getpid()};
  const pid_t pid = ::fork();
  if (pid == 0) start.run();
  if (pid < 0) return errno_error("cannot start '" + plan.arguments.front() + "'", errno);
  complaints_in.reset();
  safe_complaints.reset();
  safe_output.reset();
  int why = 0;
  // Ends when it runs, or says why it cannot.
  if (::read(complaints.get(), &why, sizeof why) == sizeof why) {
    ::waitpid(pid, nullptr, 0);
    return errno_error("cannot start '" + plan.arguments.front() + "'", why);
  }
  auto process = Process::open(pid);  // its number is its own until we wait for it
  if (!process) {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    return process.error();
  }
  std::shared_ptr<Child> child(new Child(context, std::move(*process), std::move(output),
                                         std::move(line), std::move(ended)));
  child->wait_for_output();
  child->wait_for_end();
  return child;
}

Child::Child(boost::asio::io_context& context, Process process, Fd output, Line line, Ended ended)
    : process_(std::move(process)),
      identity_(process_identity(process_.pid())),
      output_(context, output.release()),
      end_(context, ::fcntl(process_.handle(), F_DUPFD_CLOEXEC, 0)),
      line_(std::move(line)),
      ended_(std::move(ended)) {
  output_.non_blocking(true);
}

Child::~Child() {
  if (has_ended_) return;
  kill();
  ::waitpid(pid(), nullptr, 0);
}

void Child::kill() const noexcept {
  // Until it has been waited for, the number of its group is its own.
  if (!has_ended_) ::kill(-pid(), SIGKILL);
}

void Child::forget() {
  line_ = nullptr;
  ended_ = nullptr;
}

void Child::wait_for_output() {
  output_.async_wait(output_.wait_read,
                     [weak = weak_from_this()](const boost::system::error_code& ec) {
                       const auto self = weak.lock();
                       if (!self || ec || self->has_ended_) return;
                       // Of a pipe that has ended, the end of the program is what counts.
                       if (self->take_output() || errno == EAGAIN) self->wait_for_output();
                     });
}

bool Child::take_output() {
  std::array<char, 8192> chunk;
  errno = 0;
  const ssize_t got = ::read(output_.native_handle(), chunk.data(), chunk.size());
  if (got <= 0) return false;
  unfinished_.append(chunk.data(), static_cast<std::size_t>(got));
  std::size_t begin = 0;
  for (;;) {
    const std::size_t end = unfinished_.find('\n', begin);
    if (end == std::string::npos) break;
    // What is told may forget this child.
    if (const Line tell = line_) tell(std::string_view(unfinished_).substr(begin, end - begin));
    begin = end + 1;
  }
  unfinished_.erase(0, begin);
  if (unfinished_.size() > most_line) unfinished_.resize(most_line);
  return true;
}

void Child::wait_for_end() {
  end_.async_wait(end_.wait_read, [self = shared_from_this()](const boost::system::error_code& ec) {
    if (!ec) self->finish();
  });
}

void Child::finish() {
  // What it started does not outlive it. Until it is waited for, the number is its own.
  kill();
  int status = 0;
  // Where somebody else in this process waits for any child, it has ended all the same.
  if (::waitpid(pid(), &status, 0) != pid()) status = 0;
  while (take_output()) {  // what it said last
  }
  has_ended_ = true;
  boost::system::error_code ignored;
  output_.close(ignored);
  end_.close(ignored);
  if (const Line tell = line_; tell && !unfinished_.empty()) tell(unfinished_);
  line_ = nullptr;
  if (const Ended tell = std::exchange(ended_, nullptr)) tell(status);
}

std::string how_it_ended(int status) {
  if (WIFSIGNALED(status)) return "was ended by signal " + std::to_string(WTERMSIG(status));
  return "ended with " + std::to_string(WEXITSTATUS(status));
}

}  // namespace scistream::net
