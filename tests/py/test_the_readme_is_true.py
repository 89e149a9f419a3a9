"""The README's commands do what it says."""

from __future__ import annotations

import re
import shlex
import shutil
from contextlib import ExitStack
from pathlib import Path

import pytest

from applications import application, echo, echoes
from facility import free_port, own_address
from guides import Place, of_language, page
from secured import Place as Secured
from secured import a_user_logs_in, users_are_known


def block(start: str) -> str:
    (found,) = (text for text in of_language("README", "") if text.startswith(start))
    return found.replace("\\\n", " ")


@pytest.fixture
def here(tmp_path: Path) -> Place:
    hosts = {name: own_address() for name in ("127.0.0.1", "127.0.1.1", "127.0.2.1")}
    return Place(tmp_path, hosts)


# A test of a second is enough.
IPERF3 = """#!/bin/sh
[ "$1" != -c ] || set -- "$@" --time 1
exec {} "$@"
"""


def test_the_first_session_works(here: Place) -> None:
    here.stand_ins |= {"7000": str(free_port()), "/tmp/facility": str(here.folder / "facility")}
    here.save("iperf3", IPERF3.format(shutil.which("iperf3")), 0o700)
    here.env["PATH"] = f"{here.folder}:{here.env['PATH']}"
    facilities = block("s2cs --listener_ip 127").splitlines()
    certificates, server, request = block("cat /tmp/").splitlines()
    stream, shown, release = block("iperf3 -c").splitlines()
    with ExitStack() as stack:
        for line in facilities:
            facility = stack.enter_context(here.start(line))
            facility.line(f"^s2cs ready on {here.here(line.split()[2])}:5000$")
        assert here.run(certificates).rc == 0
        iperf3 = stack.enter_context(here.start(f"{server.removesuffix(' &')} --forceflush"))
        iperf3.line("listening on")
        requested = here.run(request)
        assert requested.rc == 0, requested.err
        uid = re.findall(r"^uid (\S+)$", requested.out, re.M)[0]
        said = here.there(requested.out)
        assert "the consumer application connects to\n  127.0.2.1:5200\n" in said
        assert "127.0.2.1:5200" in page("README")
        here.stand_ins["UID"] = uid
        measured = here.run(stream)
        assert measured.rc == 0, measured.out + measured.err
        assert " receiver" in measured.out
        assert uid in here.run(shown).out
        assert here.run(release).out == "Release completed\n"
        assert here.run(shown).out == "no sessions\n"


def test_trust_does_without_the_file(here: Place) -> None:
    """The two commands in brackets, which ask once each."""
    (text,) = re.findall(r"\((`s2uc trust .*?)\)", page("README"), re.S)
    commands = re.findall(r"`(s2uc trust [^`]+)`", text)
    assert len(commands) == 2
    here.stand_ins["/tmp/facility"] = str(here.folder / "facility")
    with ExitStack() as stack:
        for line in block("s2cs --listener_ip 127").splitlines():
            stack.enter_context(here.start(line)).line("^s2cs ready on ")
        for command in commands:
            done = here.run(f"{command} --yes")
            assert "SHA-256" in done.out, done.err
        requested = here.run(
            "s2uc request --prod 127.0.1.1:5000 --cons 127.0.2.1:5000 --prod-app 127.0.0.1:9"
        )
        assert requested.rc == 0, requested.err
        uid = re.findall(r"^uid (\S+)$", requested.out, re.M)[0]
        assert here.run(f"s2uc release {uid}").rc == 0


def test_users_are_known_by_a_login(place: Secured) -> None:
    secret, server, login = block("chmod 600 secret.txt").splitlines()
    assert "secret.txt" in server
    assert secret.split("#")[0].split() == ["chmod", "600", "secret.txt"]
    words = shlex.split(place.here(server.replace("secret.txt", "FILE")))
    address = words.index("--listener_ip")  # of a gateway; tests have one of their own
    users_are_known(place, [*words[1:address], *words[address + 2 :]])
    known = {"gateway.example.org": "gw1.example.org", "NATIVE_ID": "ID"}
    for name, word in known.items():
        assert name in login
        login = login.replace(name, word)
    a_user_logs_in(place, shlex.split(place.here(login)))


def test_one_port_is_forwarded(here: Place) -> None:
    (key,) = re.findall(r"`(openssl rand [^`]+)`", page("README"))
    near, far = own_address(), own_address()
    first, second = block("s2ds relay").splitlines()
    with application(echoes) as app, ExitStack() as stack:
        assert here.run(key).rc == 0
        # Each machine has an application's port of its own; here they are one machine.
        here.stand_ins |= {"127.0.0.1:7000": app.endpoint, "0.0.0.0": far}
        stack.enter_context(here.start(first)).line(r"^s2ds ready on ")
        here.stand_ins |= {"127.0.0.1:7000": f"{near}:7000", "gateway.example.org": far}
        stack.enter_context(here.start(second)).line(r"^s2ds ready on ")
        assert echo(f"{near}:7000", b"through both") == b"through both"
