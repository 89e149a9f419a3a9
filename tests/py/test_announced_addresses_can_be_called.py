"""Behind NAT, on every address or on one: what is announced is what a caller can use."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from facility import BIN, Command, split
from outside import ADDRESS, Outside, needs_root, outside


def announced(place: Outside, server: str, *flags: object) -> list[str]:
    """The listeners of a producer's session, as its caller is told of them."""
    done = place.run(
        *(BIN / "s2uc", "inbound_request", "--s2cs", server, "--receiver_ports", 9),
        *("--num_conn", 2, *flags),
    )
    assert done.rc == 0, done.err
    return re.findall(r"'(\S+?)'", done.out.splitlines()[-1])


# Protocol: wildcard-route
@needs_root
@pytest.mark.parametrize("caller", [ADDRESS, "127.0.0.1"])
def test_every_address_announces_the_one_that_the_caller_reached(
    tmp_path: Path, caller: str
) -> None:
    with (
        outside(tmp_path) as place,
        place.control_server("--listener_ip", "0.0.0.0", "--ssl=False") as (_, endpoint),
    ):
        server = f"{caller}:{split(endpoint)[1]}"
        hosts = {split(listener)[0] for listener in announced(place, server, "--ssl=False")}
        assert hosts == {caller}


# Protocol: listener-ip-not-local
@needs_root
def test_an_address_that_is_not_local_is_announced_and_every_one_bound(tmp_path: Path) -> None:
    elsewhere = "198.51.100.7"
    with (
        outside(tmp_path) as place,
        place.control_server("--listener_ip", elsewhere, "--ssl=False") as (server, endpoint),
    ):
        assert split(endpoint)[0] == elsewhere
        assert f"{elsewhere} is not an address of this machine" in server.err
        for caller in (ADDRESS, "127.0.0.1"):
            there = f"{caller}:{split(endpoint)[1]}"
            hosts = {split(listener)[0] for listener in announced(place, there, "--ssl=False")}
            assert hosts == {elsewhere}


# Protocol: own-machine
@needs_root
def test_others_are_served_once_that_is_said(tmp_path: Path) -> None:
    with (
        outside(tmp_path) as place,
        place.control_server("--listener_ip", ADDRESS, "--ssl=False") as (_, endpoint),
    ):
        done = place.run(BIN / "s2uc", "info", "--s2cs", endpoint, "--ssl=False")
        assert done.rc == 0, done.err


# Protocol: certificate-names
def test_the_names_of_its_certificate_follow_its_addresses(tmp_path: Path) -> None:
    """The one it made before lacks the new name, so that it makes another."""
    state = tmp_path / "state"
    texts = []
    for name in ("one.example.org", "two.example.org"):
        with Command(
            *(BIN / "s2cs", "--port", 0, "--state-dir", state, "--advertise", name), cwd=tmp_path
        ) as server:
            server.line(f"^s2cs ready on {name}:")
            texts.append((state / "server.crt").read_text())
            if len(texts) == 2:
                assert "making another one" in server.err
            server.signal(15)
            assert server.wait() == 0, server.err
    assert texts[0] != texts[1]
