#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace scistream::auth {

/// Lets each name have so many of something at a time. Any thread.
class Places {
 public:
  explicit Places(std::size_t most) : taken_(std::make_shared<Taken>()), most_(most) {}

  /// A place for `name` until it is let go of, which may be after the end of this; none is left:
  /// null.
  [[nodiscard]] std::shared_ptr<void> take(const std::string& name) {
    const std::lock_guard lock(taken_->mutex);
    std::size_t& places = taken_->by_name[name];
    if (places >= most_) return nullptr;
    ++places;
    return {taken_.get(), [taken = taken_, name](void*) { taken->give_back(name); }};
  }

 private:
  struct Taken {
    void give_back(const std::string& name) {
      const std::lock_guard lock(mutex);
      const auto found = by_name.find(name);
      if (--found->second == 0) by_name.erase(found);
    }
    std::mutex mutex;
    std::map<std::string, std::size_t> by_name;
  };

  const std::shared_ptr<Taken> taken_;
  const std::size_t most_;
};

}  // namespace scistream::auth
