#include "proxy/installed.hpp"

#include <utility>

#include "proxy/haproxy.hpp"
#include "proxy/nginx.hpp"
#include "proxy/stunnel.hpp"

namespace scistream::proxy {

namespace {

/// What every installed program is; without what steers it.
struct Found {
  std::string path;
  Program program;
};

Result<Found> look_up(const char* kind, const char* name, const char* package, const char* flag) {
  const auto path = find_program(name, package);
  if (!path) return path.error();
  auto version = version_of(*path, flag);
  if (!version) return version.error();
  Found found;
  found.path = path->string();
  found.program.kind = kind;
  found.program.version = std::move(*version);
  return found;
}

}  // namespace

Result<Program> installed_haproxy(const DataServerPlan& /*plan*/) {
  auto found = look_up("HaproxySubprocess", "haproxy", "haproxy", "-v");
  if (!found) return found.error();
  found->program.steer = [path = found->path](const Site& site) {
    return steer_haproxy(site, path);
  };
  return std::move(found->program);
}

Result<Program> installed_nginx(const DataServerPlan& plan) {
  auto found = look_up("NginxSubprocess", "nginx", "nginx", "-v");
  if (!found) return found.error();
  auto module = nginx_stream_module(found->path);
  if (!module) return module.error();
  found->program.datagrams = true;
  found->program.steer = [path = found->path, module = std::move(*module),
                          idle = plan.native.relay.flow_idle](const Site& site) {
    return steer_nginx(site, {path, module, idle, nginx_workers(0)});
  };
  return std::move(found->program);
}

Result<Program> installed_stunnel(const DataServerPlan& plan) {
  auto mode = stunnel_mode(plan);
  if (!mode) return mode.error();
  auto found = look_up("StunnelSubprocess", "stunnel", "stunnel4", "-version");
  if (!found) return found.error();
  protect(found->program, *mode);
  found->program.steer = [path = found->path, mode = *mode](const Site& site) {
    return steer_stunnel(site, path, mode);
  };
  return std::move(found->program);
}

}  // namespace scistream::proxy
