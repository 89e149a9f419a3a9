#include "bindings/extensions.hpp"

#include <pybind11/functional.h>
#include <pybind11/stl.h>

#include <cmath>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "bindings/bindings.hpp"
#include "bindings/errors.hpp"

namespace py = pybind11;

namespace scistream::bindings {

namespace {

bool python_is_going() {
#if PY_VERSION_HEX >= 0x030D0000
  return Py_IsInitialized() == 0 || Py_IsFinalizing() != 0;
#else
  return Py_IsInitialized() == 0 || _Py_IsFinalizing() != 0;
#endif
}

/// Let go of with the GIL, on any thread; not at all once Python has gone.
std::shared_ptr<py::object> shared(py::object object) {
  return {new py::object(std::move(object)), [](py::object* last) {
            if (python_is_going()) {
              last->release();
            } else {
              const py::gil_scoped_acquire gil;
              *last = py::object();
            }
            delete last;
          }};
}

/// Calls Python; an exception becomes its error.
template <class T, class Work>
Result<T> called(const Work& work) {
  if (python_is_going()) return Error{Cause::unavailable, "Python is ending"};
  const py::gil_scoped_acquire gil;
  try {
    return work();
  } catch (const py::error_already_set& error) {
    return error_of(error);
  } catch (const py::cast_error& error) {
    return Error{Cause::failure, error.what()};
  }
}

using Numbers = std::tuple<std::uint64_t, std::uint64_t, std::uint64_t, std::uint64_t,
                           std::uint64_t, std::uint64_t>;
using Line = std::tuple<std::uint64_t, std::uint16_t, std::string, std::string, std::uint64_t,
                        std::uint64_t>;

/// What a channel throws is caught where it is called, too.
template <class T>
T value_or_throw(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

class PythonChannel final : public Channel {
 public:
  explicit PythonChannel(py::object object) : object_(shared(std::move(object))) {}

  [[nodiscard]] std::vector<std::uint16_t> ports() const override {
    return value_or_throw(called<std::vector<std::uint16_t>>(
        [this] { return (*object_).attr("ports")().cast<std::vector<std::uint16_t>>(); }));
  }

  Status forward(const ForwardRequest& request) override {
    return called<void>([&]() -> Status {
      const auto key = request.data_key.view();
      (*object_).attr("forward")(to_strings(request.targets), request.transport,
                                 py::bytes(key.data(), key.size()), request.rate_mbps,
                                 request.rate_is_leased, request.capacity_mbps,
                                 py::cpp_function(request.permits));
      return {};
    });
  }

  void cut() override { call("cut"); }
  void drain() override { call("drain"); }

  [[nodiscard]] Traffic traffic() const override {
    const auto [to_consumer, to_producer, active, total, errors, refused] = value_or_throw(
        called<Numbers>([this] { return (*object_).attr("traffic")().template cast<Numbers>(); }));
    return {to_consumer, to_producer, active, total, errors, refused};
  }

  [[nodiscard]] std::vector<Connection> connections() const override {
    const auto lines = value_or_throw(called<std::vector<Line>>(
        [this] { return (*object_).attr("connections")().template cast<std::vector<Line>>(); }));
    std::vector<Connection> all;
    all.reserve(lines.size());
    for (const auto& [id, port, peer, target, to_consumer, to_producer] : lines)
      all.push_back({id, port, peer, target, to_consumer, to_producer});
    return all;
  }

 private:
  void call(const char* what) {
    value_or_throw(called<void>([this, what]() -> Status {
      (*object_).attr(what)();
      return {};
    }));
  }

  const std::shared_ptr<py::object> object_;
};

class PythonDataServer final : public v0::DataServer {
 public:
  explicit PythonDataServer(py::object object)
      : kind_(object.attr("kind").cast<std::string>()),
        transports_(object.attr("transports").cast<std::vector<std::string>>()),
        object_(shared(std::move(object))) {}

  [[nodiscard]] std::string kind() const override { return kind_; }
  [[nodiscard]] std::vector<std::string> transports() const override { return transports_; }

  Result<std::unique_ptr<Channel>> listen(const ListenRequest& request) override {
    return called<std::unique_ptr<Channel>>([&]() -> Result<std::unique_ptr<Channel>> {
      return std::unique_ptr<Channel>(std::make_unique<PythonChannel>((*object_).attr("listen")(
          request.session.uid, std::string(to_string(request.session.role)), request.num_conn,
          request.bind_host, request.ports.first, request.ports.last, request.exact_ports,
          request.datagrams, request.proxy_protocol)));
    });
  }

 private:
  const std::string kind_;
  const std::vector<std::string> transports_;
  const std::shared_ptr<py::object> object_;
};

class PythonAuthenticator final : public v0::Authenticator {
 public:
  explicit PythonAuthenticator(py::object object) : object_(shared(std::move(object))) {}

  Result<Identity> identify(const Secret& token) override {
    return called<Identity>([&]() -> Result<Identity> {
      using Answer =
          std::tuple<std::string, std::string, std::string, std::string, std::vector<std::string>,
                     std::vector<std::string>, std::vector<std::string>, std::optional<double>>;
      const auto text = token.view();
      auto [issuer, subject, name, email, linked, groups, scopes, expires] =
          (*object_).attr("identify")(py::str(text.data(), text.size())).template cast<Answer>();
      Identity who{std::move(issuer), std::move(subject), std::move(name),   std::move(email),
                   std::move(linked), std::move(groups),  std::move(scopes), {}};
      if (expires) {
        who.expires = std::chrono::system_clock::time_point(
            std::chrono::duration_cast<std::chrono::system_clock::duration>(
                std::chrono::duration<double>(*expires)));
      }
      return who;
    });
  }

 private:
  const std::shared_ptr<py::object> object_;
};

}  // namespace

std::shared_ptr<v0::DataServer> data_server_of(const py::object& object) {
  if (object.is_none()) return nullptr;
  return std::make_shared<PythonDataServer>(object);
}

std::shared_ptr<v0::Authenticator> authenticator_of(const py::object& object) {
  if (object.is_none()) return nullptr;
  return std::make_shared<PythonAuthenticator>(object);
}

}  // namespace scistream::bindings
