#include "proxy/container_options.hpp"

#include "proxy/docker_engine.hpp"
#include "scistream/version.hpp"

namespace scistream::proxy {

std::string ContainerOptions::image_or_own() const {
  return image.empty() ? "scistream:" + std::string(version()) : image;
}

std::string ContainerOptions::engine_or_usual() const {
  return engine.empty() ? DockerEngine::default_address() : engine;
}

}  // namespace scistream::proxy
