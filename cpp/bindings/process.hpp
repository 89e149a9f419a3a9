#pragma once

#include <memory>
#include <new>
#include <utility>

namespace scistream::bindings {

/// Owns an object whose threads live in this process. A forked child has a copy of its memory and
/// none of its threads: there every use raises InvalidState instead of waiting for ever, and the
/// destructor leaves it alone.
class Home {
 public:
  Home();
  /// Whether this is another process than the one it was made in.
  [[nodiscard]] bool left() const noexcept;
  /// Raises if so. Needs the GIL.
  void check() const;

 private:
  int pid_;
};

/// Raises InvalidState in the child of a process that has used gRPC, whose state a fork breaks;
/// marks this process as one that has. Needs the GIL.
void about_to_use_grpc();

template <class T>
class Owned {
 public:
  explicit Owned(std::shared_ptr<T> object) : object_(std::move(object)) {}
  Owned(Owned&&) noexcept = default;
  Owned& operator=(Owned&&) = delete;
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  ~Owned() {
    if (home_.left()) new (std::nothrow) std::shared_ptr<T>(std::move(object_));
  }

  void check() const { home_.check(); }
  T* operator->() const {
    check();
    return object_.get();
  }
  T& operator*() const {
    check();
    return *object_;
  }
  [[nodiscard]] std::shared_ptr<T> share() const {
    check();
    return object_;
  }
  [[nodiscard]] bool left() const noexcept { return home_.left(); }

 private:
  std::shared_ptr<T> object_;
  Home home_;
};

}  // namespace scistream::bindings
