#include "auth/policy.hpp"

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/file.hpp"
#include "bindings/bindings.hpp"
#include "bindings/errors.hpp"

namespace py = pybind11;

namespace scistream::bindings {

namespace {

using namespace pybind11::literals;  // NOLINT(google-build-using-namespace): _a

std::vector<std::string> rules_of(const auth::Policy& policy) {
  std::vector<std::string> lines;
  for (const auth::Rule& rule : policy.rules()) lines.push_back(auth::in_words(rule));
  return lines;
}

std::vector<std::string> texts_of(const std::vector<net::Destination>& destinations) {
  std::vector<std::string> texts;
  for (const net::Destination& each : destinations) texts.push_back(net::to_string(each));
  return texts;
}

/// What `scistream.Rights` is made of.
py::dict rights_of(const auth::Policy& policy, const std::string& issuer,
                   const std::string& subject, const std::string& email,
                   const std::vector<std::string>& linked, const std::vector<std::string>& groups) {
  auth::Identity who;
  who.issuer = issuer;
  who.subject = subject;
  who.email = email;
  who.linked = linked;
  who.groups = groups;
  const auth::Rights rights = value_or_raise(policy.rights_of(who));
  py::object ports = py::none();
  if (rights.ports) ports = py::str(to_string(*rights.ports));
  return py::dict("produce"_a = rights.produce, "consume"_a = rights.consume, "ports"_a = ports,
                  "max_connections"_a = rights.most_connections, "max_rate"_a = rights.most_mbps,
                  "max_sessions"_a = rights.most_sessions,
                  "targets"_a = py::tuple(py::cast(texts_of(rights.targets))),
                  "see_others"_a = rights.sees || rights.releases || rights.administers,
                  "release_others"_a = rights.releases || rights.administers,
                  "administer"_a = rights.administers);
}

}  // namespace

void bind_policy(py::module_& module) {
  py::class_<auth::Policy>(module, "Policy")
      .def(py::init(
               [](const std::string& text) { return value_or_raise(auth::Policy::parse(text)); }),
           "text"_a)
      .def("rules", &rules_of)
      .def("rights_of", &rights_of, py::kw_only(), "issuer"_a, "subject"_a, "email"_a, "linked"_a,
           "groups"_a);
  module.def(
      "read_policy",
      [](const std::filesystem::path& path) { return value_or_raise(read_file(path)); }, "path"_a);
}

}  // namespace scistream::bindings
