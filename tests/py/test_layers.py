"""Includes point one way: base <- net <- ... <- client <- cli, bindings."""

from __future__ import annotations

from pathlib import Path

import pytest

from layers import violations


def test_every_include_points_to_the_left(root: Path) -> None:
    assert violations(root / "cpp") == []


@pytest.mark.parametrize(
    ("file", "line", "why"),
    [
        ("base/log.cpp", '#include "net/socket.hpp"', "base must not know net"),
        ("relay/pump.cpp", '#  include "session/lease.hpp"', "relay must not know session"),
        ("client/user.cpp", '#include "cli/flags.hpp"', "client must not know cli"),
        ("cli/s2cs.cpp", '#include "bindings/types.hpp"', "cli must not know bindings"),
        ("session/machine.cpp", "#include <grpcpp/grpcpp.h>", "grpcpp belongs to control/"),
        ("auth/token.cpp", "#include <grpc/grpc.h>", "grpc belongs to control/"),
        ("client/user.cpp", "#include <google/protobuf/any.pb.h>", "google/protobuf belongs"),
        ("client/user.cpp", '#include "scistream.grpc.pb.h"', "generated messages belong"),
        ("cli/s2uc.cpp", "#include <pybind11/pybind11.h>", "pybind11 belongs to bindings/"),
        ("net/tcp.cpp", '#include "../base/error.hpp"', "not relative to the file"),
        ("common/util.cpp", "int x;", "common/ is not a layer"),
        ("include/scistream/error.hpp", "#include <spdlog/logger.h>", "standard library only"),
        ("include/scistream/error.hpp", '#include "base/log.hpp"', "standard library only"),
        ("base/log.cpp", '#include "scistream/user_client.hpp"', "must not know"),
        ("cli/s2uc.cpp", '#include "sdk/session.hpp"', "cli must not know sdk"),
        ("client/user.cpp", '#include "sdk/session.hpp"', "client must not know sdk"),
        ("sdk/user_client.cpp", "#include <grpcpp/grpcpp.h>", "grpcpp belongs to control/"),
        ("examples/one.cpp", '#include "base/log.hpp"', "what is installed only"),
        ("examples/one.cpp", "#include <grpcpp/grpcpp.h>", "what is installed only"),
    ],
)
def test_a_wrong_include_is_found(tmp_path: Path, file: str, line: str, why: str) -> None:
    source = tmp_path / file
    source.parent.mkdir(parents=True)
    source.write_text(f"#include <string>\n{line}\n")
    (found,) = violations(tmp_path)
    assert why in found


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("base/log.cpp", '#include "base/log.hpp"'),
        ("cli/s2cs.cpp", '#include "control/server.hpp"'),
        ("bindings/module.cpp", "#include <pybind11/pybind11.h>"),
        ("control/server.cpp", "#include <grpcpp/grpcpp.h>"),
        ("net/tcp.cpp", "#include <netinet/tcp.h>"),
        ("net/tcp.cpp", '#include "scistream/endpoint.hpp"'),
        ("include/scistream/error.hpp", "#include <string_view>"),
        ("include/scistream/endpoint.hpp", '#include "scistream/error.hpp"'),
        ("sdk/user_client.cpp", '#include "scistream/user_client.hpp"'),
        ("sdk/user_client.cpp", '#include "client/user_client.hpp"'),
        ("examples/one.cpp", "#include <scistream/scistream.hpp>"),
        ("examples/one.cpp", '#include "sockets.hpp"'),
    ],
)
def test_a_right_include_passes(tmp_path: Path, file: str, line: str) -> None:
    source = tmp_path / file
    source.parent.mkdir(parents=True)
    source.write_text(f"{line}\n")
    assert violations(tmp_path) == []
