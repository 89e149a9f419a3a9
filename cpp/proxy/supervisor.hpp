#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/log.hpp"
#include "dataserver/data_server.hpp"
#include "net/child.hpp"
#include "proxy/program.hpp"

namespace scistream::proxy {

/// Keeps one session's proxy running: starts it, drains what it says into the log, starts it again
/// when it dies, with growing pauses, and counts what all its runs have moved. Its listeners are
/// its owner's, so clients wait meanwhile. Everything happens on the thread of the context, which
/// must live as long as the proxy may; callbacks come once, unless it is destroyed before, which
/// kills the proxy.
class Supervisor : public std::enable_shared_from_this<Supervisor> {
 public:
  using News = std::function<void(const std::string&)>;

  /// `descriptors` listen where `work` says; not owned, and needed until a stop() returns. `name`
  /// is the session's, for the log; `news` says when the proxy dies and when it serves again. Where
  /// it `samples`, counters() is nearly up to date at any time.
  static std::shared_ptr<Supervisor> make(const Site& site, const Program& program, Work work,
                                          std::vector<int> descriptors, std::string name,
                                          Logger log, News news, bool samples);
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;
  ~Supervisor();

  /// Makes the folder and starts the proxy; `done` comes once it takes connections.
  void start(dataserver::Callback<void> done);
  /// New targets, of as many listeners, for connections to come; new keys have come to the ring
  /// that it was made with.
  void retarget(std::vector<Endpoint> targets, dataserver::Callback<void> done);
  /// Ends the proxy: at once, or once its last connection has ended. Removes the folder, then
  /// `done`. May be called again to turn a drain into a cut; then the earlier `done` comes.
  void stop(dataserver::Ending how, std::function<void()> done);

  /// Brings what the next two say up to date, if the proxy answers.
  void refresh(std::function<void()> done);
  [[nodiscard]] dataserver::Counters counters() const;
  /// Those that live, without their targets.
  [[nodiscard]] const std::vector<dataserver::ConnectionStatus>& connections() const {
    return connections_;
  }

 private:
  Supervisor(const Site& site, const Program& program, Work work, std::vector<int> descriptors,
             std::string name, Logger log, News news, bool samples);

  Status launch();
  void ended(int status);
  void start_again();
  void serves();
  void count(Reading reading);
  void sample();
  void stopped();
  void steer_anew();
  /// It may be dying rather than refusing; its end answers then.
  void doubt(const Status& failure);
  void drain();
  /// Ends a program that drains, where it has nothing left to wait for or does not tell.
  void end_what_is_deaf();
  /// What ends the child of now, and none that follows.
  std::function<void()> ending_of_this_run();
  /// SIGTERM, and SIGKILL if that does not help.
  void end_child();
  /// Calls what waits, if it does.
  static void answer(dataserver::Callback<void>& waiting, const Status& status);

  const Site site_;
  const Program& program_;
  Work work_;
  const std::vector<int> descriptors_;
  const std::string name_;
  const Logger log_;
  const News news_;
  const bool samples_;

  std::shared_ptr<Steering> steering_;  ///< Of the run that there is.
  std::shared_ptr<net::Child> child_;
  dataserver::Callback<void> starting_;
  dataserver::Callback<void> retargeting_;
  bool serves_ = false;
  bool is_outdated_ = false;  ///< The work has changed since this run was started.
  std::string last_said_;
  std::function<void()> stopping_;
  bool stops_ = false;
  bool drains_ = false;
  bool ends_child_ = false;
  std::chrono::milliseconds pause_;  ///< Before the next start.
  std::chrono::steady_clock::time_point started_;
  boost::asio::steady_timer again_;
  boost::asio::steady_timer next_sample_;
  boost::asio::steady_timer patience_;
  boost::asio::steady_timer doubt_;
  dataserver::Counters before_;  ///< Of the runs that have ended.
  dataserver::Counters now_;     ///< Of this run.
  std::vector<dataserver::ConnectionStatus> connections_;
  std::chrono::steady_clock::time_point moved_;
  std::chrono::steady_clock::time_point read_;  ///< When it told last what it has.
  std::chrono::steady_clock::time_point busy_;  ///< When it had connections last, while it drains.
};

/// Ends what a supervisor that was killed left running in this folder, and removes it. Of nobody
/// else's: the process must be the one that was started then.
void reap(const std::filesystem::path& folder, const Logger& log);

}  // namespace scistream::proxy
