#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

namespace scistream::net {

/// Threads for code that takes its time, such as that of users: as many as there is work, which end
/// when there is none for a while. Work must not throw. Any thread.
class Workers {
 public:
  /// `most` at one time, for work that can be refused.
  explicit Workers(std::string name, std::size_t most = 64);
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;
  /// Waits a moment for what is at work, then leaves it: it must own what it needs.
  ~Workers();

  /// False if too much is at work already, or the system has no further thread.
  [[nodiscard]] bool run(std::function<void()> work);
  /// As many as it takes.
  [[nodiscard]] bool run_at_once(std::function<void()> work);

 private:
  struct Shared;
  static void work_on(const std::shared_ptr<Shared>& shared);
  bool hand_over(std::function<void()> work, std::size_t most);

  const std::shared_ptr<Shared> shared_;
  const std::string name_;
  const std::size_t most_;
};

}  // namespace scistream::net
