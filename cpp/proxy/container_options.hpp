#pragma once

#include <cstdint>
#include <string>

namespace scistream::proxy {

/// What a program in a container may use.
struct ContainerOptions {
  std::string image;   ///< Empty: `scistream:` and this version.
  std::string engine;  ///< `unix:///PATH`; empty: DockerEngine::default_address().
  std::uint64_t memory_mib = 1024;
  double cpus = 0;  ///< 0: all there are.

  [[nodiscard]] std::string image_or_own() const;
  [[nodiscard]] std::string engine_or_usual() const;
};

}  // namespace scistream::proxy
