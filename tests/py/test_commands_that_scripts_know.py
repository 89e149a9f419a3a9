"""The single-step commands: spellings, options and output lines that scripts rely on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest

from applications import Application, echo, fetch, payload, sends
from applications import application as serving
from conftest import Pair
from deployed_peer import DeployedServer, Peer, deployed_server
from facility import Client, Command, Facility, eventually, free_port, split

HEADER = "uid; s2cs; access_token; role"
MOCK = "4f8583bc-a4d3-11ee-9fd6-034d1fcbd7c3"
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


def inbound(facility: Facility, app: Application, *flags: object) -> list[object]:
    host, port = split(app.endpoint)
    where = ["--s2cs", facility.endpoint, "--remote_ip", host, "--receiver_ports", port]
    return ["inbound_request", *where, "--num_conn", 1, *flags]


def listeners_of(line: str) -> list[str]:
    assert re.fullmatch(r"Listeners: \['\S+'(, '\S+')*\]", line)
    return re.findall(r"'(\S+?)'", line)


# Protocol: random-id, step-producer-commands, step-consumer-commands, release-command, step-header
# Protocol: inbound-lines, outbound-lines, release-line, stderr-empty, step-states
def test_inbound_and_outbound_print_what_they_always_did(pair: Pair) -> None:
    data = payload(2_000_000)
    with serving(sends(data)) as app:
        done = pair.user.s2uc(*inbound(pair.prod, app))
        assert (done.rc, done.err) == (0, "")
        header, who, *steps, last = done.out.splitlines()
        assert header == HEADER
        match = re.fullmatch(rf"({UUID}) {pair.prod.endpoint} INVALID_TOKEN PROD", who)
        assert match
        assert steps == [
            "sending client request message",
            "started client request",
            "waiting for hello message",
            "sending for hello message",
            "Hello message sent successfully",
        ]
        uid, producers = match[1], listeners_of(last)

        where = ["--s2cs", pair.cons.endpoint, "--receiver_ports", "7000,7001", "--num-conn=1"]
        done = pair.user.s2uc("outbound_request", *where, uid, ",".join(producers))
        assert (done.rc, done.err) == (0, "")
        *lines, last = done.out.splitlines()
        assert lines == [
            HEADER,
            f"{uid} {pair.cons.endpoint} INVALID_TOKEN CONS",
            "started client request",
            "waiting for hello message",
            "Hello message sent successfully",
        ]
        assert fetch(listeners_of(last)[0]) == data
        for facility in (pair.prod, pair.cons):
            done = pair.user.s2uc("release", uid, "--s2cs", facility.endpoint)
            assert (done.rc, done.out, done.err) == (0, "Release completed\n", "")


# Protocol: step-producer-commands, step-consumer-commands, step-waits-for-controller, step-header
# Protocol: prod-req-lines, cons-req-lines, stderr-empty, app-key-steps
def test_prod_req_and_cons_req_wait_for_the_application_controllers(
    pair: Pair, echo_app: Application
) -> None:
    flags = ["--num_conn", 2, "--s2cs"]
    with pair.user.start("s2uc", "prod_req", *flags, pair.prod.endpoint) as producing:
        uid = producing.line(rf"^({UUID}) \S+ INVALID_TOKEN PROD$")[1]
        producing.line("^started client request$")
        assert producing.out.splitlines()[2:] == [
            "waiting for hello message",
            "started client request",
        ]
        pair.user.appctrl(
            *("hello", uid, pair.prod.endpoint, "--role", "PROD"),
            *("--listen", echo_app.endpoint, "--wait", "5s"),
        )
        assert producing.wait() == 0, producing.err
        assert producing.err == ""
        *answers, empty, last = producing.out.splitlines()[4:]
        producers = [line.removeprefix("listeners: ").strip('"') for line in answers[:2]]
        assert answers == [
            *(f'listeners: "{listener}"' for listener in producers),
            f'prod_listeners: "{echo_app.endpoint}"',
        ]
        assert (empty, last) == ("", str(producers))
    with pair.user.start(
        "s2uc", "cons_req", *flags, pair.cons.endpoint, uid, ",".join(producers)
    ) as consuming:
        consuming.line("^waiting for hello message$")
        pair.user.appctrl("hello", uid, pair.cons.endpoint, "--role", "CONS", "--wait", "5s")
        assert consuming.wait() == 0, consuming.err
        assert consuming.err == ""
        *lines, last = consuming.out.splitlines()
        assert lines[1:] == [
            f"{uid} {pair.cons.endpoint} INVALID_TOKEN CONS",
            "started client request",
            "waiting for hello message",
            "Hello message sent successfully",
        ]
        assert [echo(listener) for listener in listeners_of(last)] == [b"ping"] * 2
    assert pair.user.s2uc("release", uid).rc == 0, "both halves were requested from here"


# Protocol: spellings, option-values, mock-id
@pytest.mark.parametrize(
    "spelling",
    [
        ["inbound_request", "--remote_ip", "{ip}", "--receiver_ports", "{port}", "--mock"],
        ["inbound-request", "--remote-ip={ip}", "--receiver-ports={port}", "--mock", "True"],
        ["inbound-request", "--remote_ip={ip}", "--receiver_ports={port}", "--mock=True"],
        ["inbound_request", "--mock", "--remote-ip", "{ip}", "--receiver-ports", "{port}"],
    ],
    ids=" ".join,
)
def test_every_spelling_and_the_fixed_id_of_mock(
    pair: Pair, echo_app: Application, spelling: list[str]
) -> None:
    ip, port = split(echo_app.endpoint)
    words = [word.format(ip=ip, port=port) for word in spelling]
    done = pair.user.s2uc(*words, "--s2cs", pair.prod.endpoint, "--num_conn=2")
    assert done.rc == 0, done.err
    assert done.out.splitlines()[1].split()[0] == MOCK
    listeners = listeners_of(done.out.splitlines()[-1])
    done = pair.user.s2uc(
        "outbound_request", "--mock", MOCK, ",".join(listeners), "--s2cs", pair.cons.endpoint
    )
    assert done.rc == 0, done.err
    assert len(listeners_of(done.out.splitlines()[-1])) == 5, "their default"
    assert pair.user.s2uc("release", MOCK).rc == 0


# Protocol: appctrl-mock, appctrl-mock-lines, stderr-empty, trust-working-folder
def test_appctrl_mock_says_hello_for_its_five_ports(pair: Pair) -> None:
    with Peer(pair.prod.endpoint, pair.prod.certificate) as peer:
        request = peer.req("mocked", "PROD", 1)
        folder = pair.user.folder / "app"
        folder.mkdir(exist_ok=True)
        (folder / "server.crt").write_bytes(pair.prod.certificate.read_bytes())
        env = {k: v for k, v in pair.user.env.items() if k != "SCISTREAM_SERVER_CERT"}
        with Command(
            *(Path(pair.user.env["PATH"].split(":")[0]) / "appctrl", "mock", "mocked"),
            *(pair.prod.endpoint, "INVALID_TOKEN", "PROD", "127.0.0.9"),
            cwd=folder,
            env=env,
        ) as mock:
            assert mock.wait() == 0, mock.err
            assert mock.err == ""
            assert mock.out.splitlines() == [
                "AppCtrl: SENDING HELLO",
                "AppCtrl: Hello sent",
                "Created AppCtrl instance",
            ]
        ports = [5074, 5075, 5076, 37000, 47000]
        assert list(request.result(15).prod_listeners) == [f"127.0.0.9:{port}" for port in ports]
        peer.release("mocked")


# Protocol: request-failure-line, failure-codes
def test_nothing_there_is_a_failure_with_an_exit_code(pair: Pair, echo_app: Application) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    done = pair.user.s2uc("prod_req", "--s2cs", nobody)
    assert done.rc == 5
    assert done.out.splitlines()[-1] == "Request Failed, no Hello response"
    assert nobody in done.err
    done = pair.user.s2uc("release", "x", "--s2cs", nobody)
    assert done.rc == 5
    assert done.out.startswith("Error during release: ")


# Protocol: request-failure-line, client-gives-up
def test_no_hello_is_a_failure_and_leaves_nothing(pair: Pair) -> None:
    done = pair.user.s2uc("prod_req", "--s2cs", pair.prod.endpoint, "--timeout", "300ms")
    assert done.rc == 6, done.err
    assert done.out.splitlines()[-1] == "Request Failed, no Hello response"
    eventually(lambda: pair.user.leased(pair.prod) == 0, "its listeners come back")


def test_listeners_that_are_none_are_refused_before_anything_is_asked(pair: Pair) -> None:
    done = pair.user.s2uc("outbound_request", "--s2cs", pair.cons.endpoint, "a", "nowhere")
    assert done.rc == 2
    assert "PROD_LSTN" in done.err
    assert pair.user.leased(pair.cons) == 0


@pytest.mark.parametrize(
    "words",
    [
        ["inbound_request"],
        ["inbound_request", "--receiver_ports", "70000"],
        ["inbound_request", "--receiver_ports", "7000", "--remote_ip", "two words"],
        ["inbound_request", "--receiver_ports", "7000", "--num_conn", "0"],
        ["prod_req", "--rate", "-1"],
        ["cons_req"],
        ["cons_req", "a"],
        ["cons_req", "a", ""],
        ["cons_req", "two words", "h:1"],
        ["outbound_request", "a", "h:0"],
        ["prod_req", "--mock", "Perhaps"],
        ["prod_req", "--s2cs", "nowhere"],
    ],
    ids=" ".join,
)
def test_bad_arguments_are_usage_errors(pair: Pair, words: list[str]) -> None:
    done = pair.user.s2uc(*words)
    assert done.rc == 2, done.err
    assert done.err.startswith("s2uc: ")


# Protocol: step-servers
def test_the_servers_that_are_meant_when_none_is_named(tmp_path: Path) -> None:
    """Who is there does not matter: the second line says it before anybody is asked."""
    user = Client(tmp_path)
    for words, server in (
        (["prod_req"], "localhost:5000"),
        (["cons_req", "a", "h:1"], "localhost:6000"),
        (["inbound_request", "--receiver_ports", "9"], "localhost:5000"),
        (["outbound_request", "a", "h:1"], "localhost:5000"),
    ):
        done = user.s2uc(*words, "--timeout", "300ms", "--ssl=False")
        assert done.out.splitlines()[1].split()[1] == server, words


# Protocol: rate-explicit, rate-unmarked
def test_a_given_rate_is_reserved_and_the_usual_one_is_not(
    tmp_path: Path, echo_app: Application
) -> None:
    """Scripts without `--rate` send the 10000 that all send, and are never refused for it."""
    with Facility(tmp_path, "--capacity", 100) as facility:
        user = Client(tmp_path, facility)

        def free() -> int:
            info = user.s2uc("info", "--s2cs", facility.endpoint, "--json").json
            mbps: int = info["capacity_free_mbps"]
            return mbps

        assert user.s2uc(*inbound(facility, echo_app, "--mock")).rc == 0
        assert free() == 100
        assert user.s2uc(*inbound(facility, echo_app, "--rate", 60)).rc == 0
        assert free() == 40
        assert user.s2uc(*inbound(facility, echo_app, "--rate", 10_000)).rc == 8
        assert free() == 40


# Protocol: step-states
def test_states_are_told_to_who_asks_for_more(pair: Pair, echo_app: Application) -> None:
    done = pair.user.s2uc(*inbound(pair.prod, echo_app, "--mock", "--verbose"))
    assert done.rc == 0, done.err
    assert done.err.splitlines()[-1] == "Current state: idle"
    assert "Current state" not in done.out
    assert pair.user.s2uc("release", MOCK).rc == 0


# ---- beside deployed servers -------------------------------------------------------------------


@pytest.fixture
def plain(tmp_path: Path) -> Client:
    return Client(tmp_path)


@pytest.fixture
def theirs() -> Iterator[DeployedServer]:
    with deployed_server(lambda targets: targets[0] if targets else "127.0.0.1:9") as server:
        yield server


# Protocol: plaintext-by-name
def test_a_deployed_control_server_gets_what_its_own_client_sends(
    plain: Client, theirs: DeployedServer, echo_app: Application
) -> None:
    ip, port = split(echo_app.endpoint)
    where = ["--s2cs", theirs.endpoint, "--ssl=False"]
    done = plain.s2uc(
        *("inbound_request", *where, "--remote_ip", ip, "--receiver_ports", port, "--mock")
    )
    assert (done.rc, done.err) == (0, ""), done.out
    assert theirs.rpcs.count("req") == 1, "never repeated there"
    assert theirs.updates == {MOCK: [echo_app.endpoint]}
    done = plain.s2uc("release", MOCK, *where)
    assert (done.rc, done.out, done.err) == (0, "Release completed\n", "")


# Protocol: step-says-hello, step-defaults
def test_what_is_not_said_has_the_value_it_always_had(
    plain: Client, theirs: DeployedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five listeners, 10000 Mbit/s, an application on 127.0.0.1; a scope changes nothing."""
    asked = []
    answer = theirs._req

    def listen_in(request: Any, context: Any) -> Any:
        asked.append((request.num_conn, request.rate))
        return answer(request, context)

    monkeypatch.setattr(theirs, "_req", listen_in)
    done = plain.s2uc(
        *("inbound_request", "--s2cs", theirs.endpoint, "--ssl=False", "--mock"),
        *("--receiver_ports", "7001,7002", "--scope", "a b c"),
    )
    assert (done.rc, done.err) == (0, ""), done.out
    assert asked == [(5, 10_000)]
    assert theirs.updates == {MOCK: ["127.0.0.1:7001", "127.0.0.1:7002"]}


# Protocol: step-says-hello
def test_the_application_may_be_on_another_host(plain: Client, theirs: DeployedServer) -> None:
    where = ["--s2cs", theirs.endpoint, "--ssl=False"]
    app = ["--remote_ip", "10.0.0.9", "--receiver_ports", "7001,7002"]
    for words, uid in (
        (["inbound_request", "--mock"], MOCK),
        (["outbound_request", "consumers", "127.0.0.1:9"], "consumers"),
    ):
        done = plain.s2uc(*words, *where, *app)
        assert (done.rc, done.err) == (0, ""), done.out
        assert theirs._hellos[uid] == ["10.0.0.9:7001", "10.0.0.9:7002"]


# Protocol: hello-failure-line, request-failure-line, update-failure-line, release-failure-line
# Protocol: failure-codes
@pytest.mark.parametrize(
    ("rpc", "line"),
    [
        ("req", "Request Failed, no Hello response"),
        ("hello", "Error sending hello message: "),
        ("update", "Error during update: "),
        ("release", "Error during release: "),
    ],
)
def test_each_step_that_fails_has_its_line(
    plain: Client, theirs: DeployedServer, rpc: str, line: str
) -> None:
    def refuse(context: Any) -> None:
        context.abort(grpc.StatusCode.PERMISSION_DENIED, "not today")

    theirs.before[rpc] = refuse
    where = ["--s2cs", theirs.endpoint, "--ssl=False"]
    done = plain.s2uc("outbound_request", *where, "a", "127.0.0.1:9")
    if rpc == "release":
        assert done.rc == 0, done.err
        done = plain.s2uc("release", "a", *where)
    assert done.rc == 4, done.out
    last = done.out.splitlines()[-1]
    assert last.startswith(line)
    if line.endswith(" "):
        assert "not today" in last
    assert "not today" in done.err


# Protocol: hello-failure-line
def test_a_hello_of_appctrl_that_fails_has_its_line(plain: Client, theirs: DeployedServer) -> None:
    def refuse(context: Any) -> None:
        context.abort(grpc.StatusCode.PERMISSION_DENIED, "not today")

    theirs.before["hello"] = refuse
    done = plain.appctrl("mock", "a", theirs.endpoint, "INVALID_TOKEN", "PROD", "--ssl=False")
    assert done.rc == 4
    first, last = done.out.splitlines()
    assert first == "AppCtrl: SENDING HELLO"
    assert last.startswith("Error sending hello message: ")
    assert "not today" in last


# Protocol: appctrl-mock
def test_appctrl_mock_means_this_host_if_none_is_named(
    plain: Client, theirs: DeployedServer
) -> None:
    theirs._hellos["a"] = None
    done = plain.appctrl("mock", "a", theirs.endpoint, "INVALID_TOKEN", "PROD", "--ssl=False")
    assert done.rc == 0, done.err
    ports = [5074, 5075, 5076, 37000, 47000]
    assert theirs._hellos["a"] == [f"127.0.0.1:{port}" for port in ports]
