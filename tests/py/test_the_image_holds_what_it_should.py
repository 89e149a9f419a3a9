"""The container image: programs that run, nothing secret, nothing left of how it was made."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from containers import STATE, Engine

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]  # an image may have to be built first


@pytest.mark.parametrize(
    "command",
    [
        *("s2cs --version", "s2ds --version", "s2uc --version", "appctrl --version"),
        *("haproxy -v", "nginx -v", "stunnel4 -version"),
        "test -e /usr/lib/nginx/modules/ngx_stream_module.so",
    ],
)
def test_its_programs_run(containers: Engine, command: str) -> None:
    containers.run(*command.split())


def test_it_says_what_it_is(containers: Engine, root: Path) -> None:
    (image,) = json.loads(containers.docker("image", "inspect", containers.image))
    found = re.search(r"project\(scistream VERSION (\S+)", (root / "CMakeLists.txt").read_text())
    assert found
    labels = image["Config"]["Labels"]
    assert labels["org.opencontainers.image.version"] == found[1]
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert image["Config"]["User"] == "10000:10000"
    assert image["Config"]["StopSignal"] == "SIGTERM"
    assert image["Config"]["Volumes"] == {STATE: {}}


def test_it_holds_no_secret(containers: Engine) -> None:
    script = 'test -z "$(ls -A "$1")" && ! grep -rl "PRIVATE KEY" /etc /home /opt /root /srv /var'
    # Root, who may read everything.
    assert (
        containers.docker(
            *("run", "--rm", "--network", "none", "--user", "0", containers.image),
            *("sh", "-c", script, "sh", STATE),
        )
        == ""
    )


def test_nothing_is_left_of_how_it_was_made(containers: Engine) -> None:
    assert containers.run("ls", "/var/lib/apt/lists", "/var/cache/apt").split() == [
        "/var/cache/apt:",
        "/var/lib/apt/lists:",
    ]
    # No service was started by the installation, nor has it been told to.
    assert containers.run("sh", "-c", "ls /run/*.pid /run/*/*.pid 2>/dev/null || true") == ""
