#!/bin/sh
# Makes the container image of the programs in build/release, as `./dev image` does after building
# them, with the engine that DOCKER_HOST names (the system's, without).
set -eu
unset CDPATH
cd -- "$(dirname -- "$0")/../.."

base=debian:bookworm-slim
context=build/docker/context
version=$(sed -n 's/^project(scistream VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)

say() { printf 'image: %s\n' "$*" >&2; }
die() {
  say "$*"
  exit 1
}

need_engine() {
  command -v docker >/dev/null ||
    die "there is no docker here: apt-get install docker.io, or run this where an engine is"
  docker version >/dev/null 2>build/docker/engine-missing || {
    sed 's/^/image:   /' build/docker/engine-missing >&2
    die "no container engine answers at ${DOCKER_HOST:-the default socket}: start one, or name it with DOCKER_HOST"
  }
}

has_base() { docker image inspect "$base" >/dev/null 2>&1; }

# Where the system's own packages of Debian 12 come from, as lines for an image's sources.list. An
# archive that asks for a password is left out: it would be written into the image.
sources() {
  # shellcheck disable=SC2016  # apt's own $(...)
  apt-get indextargets --format '$(ORIGIN) $(CODENAME) $(COMPONENT) $(REPO_URI)' \
    'Created-By: Packages' |
    awk '$1 == "Debian" && $2 ~ /^bookworm/ && $3 == "main" && $4 !~ /@/ && !seen[$2, $4]++ {
      print "deb", $4, $2, $3 }'
}

# A base image of packages alone, for engines without a registry.
base_from_packages() {
  command -v debootstrap >/dev/null || die "there is no debootstrap here: apt-get install debootstrap"
  [ "$(id -u)" -eq 0 ] || die "debootstrap makes a root folder, which needs root"
  sources=$(sources)
  [ -n "$sources" ] || { # no package lists yet
    apt-get update >build/docker/base.log 2>&1 || :
    sources=$(sources)
  }
  mirror=$(printf '%s\n' "$sources" | awk '$3 == "bookworm" { print $2; exit }')
  [ -n "$mirror" ] || die "apt knows no archive with Debian 12's own packages"
  say "making $base from Debian packages"
  root=$(mktemp -d)
  trap 'rm -rf --one-file-system -- "$root"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  debootstrap --variant=minbase bookworm "$root/base" "$mirror" >build/docker/base.log 2>&1 || {
    tail -n 5 build/docker/base.log >&2
    die "debootstrap failed; its output is in build/docker/base.log"
  }
  printf '%s\n' "$sources" >"$root/base/etc/apt/sources.list"
  rm -rf "$root"/base/var/cache/apt/* "$root"/base/var/lib/apt/lists/* "$root"/base/var/log/*
  tar -C "$root/base" -c . | docker import --change 'CMD ["bash"]' - "$base" >/dev/null
}

stage() {
  rm -rf "$context"
  mkdir -p "$context"
  install -D -s -m 755 -t "$context/bin" build/release/cpp/cli/s2cs build/release/cpp/cli/s2ds \
    build/release/cpp/cli/s2uc build/release/cpp/cli/appctrl
  install -m 755 deploy/docker/health.sh "$context/health"
  install -m 644 deploy/docker/Dockerfile "$context/Dockerfile"
}

make_base=
case ${1:-} in
  --base-from-packages)
    make_base=1
    shift
    ;;
  -*) die "usage: ./dev image [--base-from-packages] [NAME]" ;;
esac
name=${1:-scistream:$version}

mkdir -p build/docker
need_engine
if [ -n "$make_base" ]; then has_base || base_from_packages; fi
stage
# The host's network: an engine for tests has no other. The classic builder needs no plugin.
say "building $name; its output is in build/docker/image.log"
DOCKER_BUILDKIT=0 docker build --network host --tag "$name" \
  --build-arg "VERSION=$version" \
  --build-arg "REVISION=$(git rev-parse --verify --quiet HEAD || echo unknown)" \
  "$context" >build/docker/image.log 2>&1 || {
  tail -n 20 build/docker/image.log >&2
  has_base || say "without a registry, ./dev image --base-from-packages makes $base itself"
  die "docker build failed"
}
printf '%s\n' "$name"
