"""An argument of a wrong type is a TypeError that names it, and shows neither it nor a secret."""

from __future__ import annotations

import asyncio
import inspect
import re
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import scistream
from binding import closed_port
from scistream import _core, _plain, aio

HUSH = "hush-93f1"
KEY = b"hush" * 8
ANY_OBJECT = {"data_server", "authenticator", "key", "prod_key", "cons_key"}
"""What `_core` looks at itself."""


class Odd:
    """Nothing takes one, and who shows it shows a secret."""

    def __repr__(self) -> str:
        return HUSH

    __str__ = __repr__


def hushed(error: BaseException) -> str:
    """Its text, when nothing of it shows a secret or leads to what does."""
    shown = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    for text in (str(error), repr(error), repr(error.args), shown):
        assert "hush" not in text
    for other in (error.__context__, error.__cause__):
        if other:
            hushed(other)
    return str(error)


def refused(call: Callable[..., Any], *words: Any, **named: Any) -> str:
    """What the TypeError of this call says."""
    with pytest.raises(TypeError) as raised:
        call(*words, **named)
    return hushed(raised.value)


# ---- every argument ----------------------------------------------------------------------------

CLIENT: dict[str, Any] = {"tls": False, "roots": HUSH, "server_cert": "", "token": HUSH}
SECRETS: dict[str, dict[str, Any]] = {
    "UserClient": CLIENT,
    "AppController": {**CLIENT, "uid": "an-id", "s2cs": "127.0.0.1:1", "role": "CONS", "key": KEY},
    "ControlServer": {"port": 0, "audience": HUSH},
    "Relay": {"pairs": [("127.0.0.1:0", "127.0.0.1:9")]},
    "Endpoint": {"text": "127.0.0.1:9"},
    "Policy": {"text": f"# {HUSH}"},
    "UserClient.request": {
        **dict.fromkeys(("prod", "cons"), "127.0.0.1:1"),
        **dict.fromkeys(("prod_key", "cons_key"), KEY),
        "labels": {"a": HUSH},
        "wait": False,
    },
    "UserClient.release": {"uid": HUSH},
    "UserClient.set_rate": {"uid": HUSH, "rate": 1},
    "UserClient.status": {"uid": HUSH},
    "UserClient.watch": {"uid": HUSH},
    "UserClient.info": {"server": HUSH},
    "Session.app_key": {"role": HUSH},
    "Session.set_rate": {"rate": 1},
    "AppController.hello": {},
    "Session.wait_ready": {},
    "Session.status": {},
    "Session.watch": {},
    "ControlServer.stop": {},
    "Relay.close": {},
}
"""Calls with arguments that are right, and secret where they can be."""


def arguments() -> list[tuple[str, str]]:
    """Each argument of these calls."""
    found = []
    for name in SECRETS:
        call = scistream
        for part in name.split("."):
            call = getattr(call, part)
        for argument in inspect.signature(call).parameters:  # type: ignore[arg-type]
            if argument not in ("self", "progress"):
                found.append((name, argument))
    return found


@pytest.fixture
def live(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """One object of each class; nobody is at the other end."""
    with ExitStack() as stack:
        client = stack.enter_context(scistream.UserClient(tls=False, state_dir=tmp_path))
        places = closed_port(), closed_port()
        session = client.request(*places, prod_app=["127.0.0.1:9"], transport="tcp", wait=False)
        pairs = [("127.0.0.1:0", "127.0.0.1:9")]
        controller = scistream.AppController(
            "an-id", places[0], role="CONS", tls=False, state_dir=tmp_path
        )
        stack.callback(controller.close)  # its own `with` block would say hello
        yield {
            "UserClient": client,
            "Session": session,
            "AppController": controller,
            "Relay": stack.enter_context(scistream.Relay(pairs)),
            "ControlServer": scistream.ControlServer(port=0),
        }


@pytest.mark.parametrize(("name", "argument"), arguments())
def test_an_argument_of_a_wrong_type_is_named_and_not_shown(
    name: str, argument: str, live: dict[str, Any], tmp_path: Path
) -> None:
    kind, _, method = name.partition(".")
    call = getattr(live[kind], method) if method else getattr(scistream, kind)
    named = {**SECRETS[name], argument: Odd()}
    said = refused(call, **named)
    if argument in ANY_OBJECT - {"data_server", "authenticator"}:
        assert said == f"{argument}: a key is bytes, or a str of hexadecimal digits"
    else:
        assert re.fullmatch(rf"{argument}: an? .+ is wanted, not (an )?Odd", said)


@pytest.mark.parametrize(
    "call",
    [
        lambda client, session: client.release(Odd()),
        lambda client, session: client.release(HUSH, Odd()),
        lambda client, session: client.set_rate(HUSH, Odd()),
        lambda client, session: client.status(HUSH, [Odd()]),
        lambda client, session: client.status(HUSH, connections=Odd()),
        lambda client, session: client.info(Odd()),
        lambda client, session: client.request("a:1", "b:1", prod_key=KEY, rate=Odd()),
        lambda client, session: session.set_rate(Odd()),
        lambda client, session: session.status(connections=Odd()),
    ],
)
def test_so_it_is_in_an_event_loop(
    call: Callable[[Any, Any], Any], live: dict[str, Any], tmp_path: Path
) -> None:
    async def awaited() -> str:
        async with aio.UserClient(state_dir=tmp_path, token=HUSH) as client:
            with pytest.raises(TypeError) as raised:
                await call(client, aio.Session(live["Session"]))
            return hushed(raised.value)

    assert re.search(r"^(\w+): an? .+ is wanted, not .*an Odd$", asyncio.run(awaited()))


def test_a_hello_in_an_event_loop_as_well() -> None:
    async def awaited() -> str:
        controller = aio.AppController("an-id", "127.0.0.1:1", role="CONS", key=KEY)
        with pytest.raises(TypeError) as raised:
            await controller.hello(patience=Odd())  # type: ignore[arg-type]
        await controller.close()
        return hushed(raised.value)

    assert asyncio.run(awaited()) == "patience: a number is wanted, not an Odd"


def test_every_function_of_the_compiled_module_is_covered() -> None:
    covered = 0
    for owner in (_core, *(value for value in vars(_core).values() if isinstance(value, type))):
        for name, call in vars(owner).items():
            signature = (getattr(call, "__doc__", None) or "").partition("\n")[0]
            if name in ("__new__", "_pybind11_conduit_v1_") or "(" not in signature:
                continue
            for argument, type_name in re.findall(r"(\w+): ([^,)]+)", signature):
                if argument != "self":
                    assert hasattr(call, "__wrapped__"), name
                    assert _plain._kind(type_name) or argument in ANY_OBJECT, (name, argument)
                    covered += 1
    assert covered > 100


# ---- what is a mistake, though a compiler for C++ might take it --------------------------------


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({"tls": "yes"}, "tls: a bool is wanted, not a str"),
        ({"tls": None}, "tls: a bool is wanted, not None"),
        ({"tls": 0}, "tls: a bool is wanted, not an int"),
        ({"token": KEY}, "token: a str is wanted, not bytes"),
        ({"token": None}, "token: a str is wanted, not None"),
        ({"roots": KEY}, "roots: a str is wanted, not bytes"),
        ({"server_cert": KEY}, "server_cert: a str or a path is wanted, not bytes"),
        ({"state_dir": b""}, "state_dir: a str or a path is wanted, not bytes"),
        ({"client_key": 0}, "client_key: a str or a path is wanted, not an int"),
    ],
)
def test_a_client_of_wrong_types(named: dict[str, Any], said: str) -> None:
    assert refused(scistream.UserClient, **{"token": HUSH, **named}) == said


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({"rate": 1.5}, "an int or None is wanted, not a float"),
        ({"num_conn": np.float32(2)}, "an int is wanted, not a float32"),
        ({"timeout": None}, "a number is wanted, not None"),
        ({"uid": b"an-id"}, "a str is wanted, not bytes"),
        ({"wait": "yes"}, "a bool is wanted, not a str"),
        ({"prod_app": "a:1"}, "a list of strings, not one string"),
        ({"prod_app": b"a:1"}, "a list of strings is wanted, not bytes"),
        ({"prod_app": None}, "a list of strings is wanted, not None"),
        ({"prod_app": ["a:1", KEY]}, "a list of strings is wanted, not a list with bytes"),
        ({"prod_app": (KEY,)}, "a list of strings is wanted, not a list with bytes"),
        ({"labels": [("a", HUSH)]}, "a mapping of strings to strings is wanted, not a list"),
        ({"labels": ""}, "a mapping of strings to strings is wanted, not a str"),
        ({"labels": {1: ""}}, "a mapping of strings to strings is wanted, not a dict with an int"),
    ],
)
def test_a_request_of_wrong_types(named: dict[str, Any], said: str, live: dict[str, Any]) -> None:
    request = {**SECRETS["UserClient.request"], **named}
    assert refused(live["UserClient"].request, **request) == f"{next(iter(named))}: {said}"


def test_what_is_like_a_number_is_one(live: dict[str, Any]) -> None:
    client = live["UserClient"]
    like: dict[str, Any] = {"num_conn": np.int64(2), "lifetime": np.float32(9), "timeout": 5}
    client.request("a:1", "b:1", transport="tcp", wait=False, **like)
    options: dict[str, Any] = {"tls": np.bool_(False)}
    scistream.UserClient(**options).close()
    pairs: Any = [["127.0.0.1:0", "127.0.0.1:9"]]
    one: Any = np.uint8(1)
    with scistream.Relay(pairs, threads=one):
        pass


# ---- the right type, and still nothing that can be taken ---------------------------------------


@pytest.mark.parametrize(
    ("name", "named", "said"),
    [
        ("UserClient", {"server_cert": "hush\0"}, "server_cert: it has a NUL"),
        ("UserClient", {"state_dir": Path("hush\0")}, "state_dir: it has a NUL"),
        ("ControlServer", {"policy": "hush\0"}, "policy: it has a NUL"),
        ("AppController", {"client_key": "hush\0"}, "client_key: it has a NUL"),
        ("AppController", {"key": "\ud800hush"}, "key: it has half of a surrogate pair"),
        ("UserClient", {"token": "hush\udfff"}, "token: it has half of a surrogate pair"),
        ("ControlServer", {"issuers": ["\ud800"]}, "issuers: it has half of a surrogate pair"),
        ("Endpoint", {"text": "hush\ud800:5"}, "text: it has half of a surrogate pair"),
        (
            "UserClient.request",
            {"labels": {"a": "\ud800"}},
            "labels: it has half of a surrogate pair",
        ),
        ("ControlServer", {"port": 10**20}, "port: out of range"),
        ("ControlServer", {"capacity": -1}, "capacity: out of range"),
        ("ControlServer", {"timeout": 10**400}, "timeout: out of range"),
        ("UserClient.request", {"num_conn": 10**10}, "num_conn: out of range"),
        ("UserClient.request", {"num_conn": 10**10, "rate": -1}, "num_conn or rate: out of range"),
        ("UserClient.set_rate", {"rate": 10**30}, "rate: out of range"),
        ("Session.set_rate", {"rate": -(10**30)}, "rate: out of range"),
    ],
)
def test_a_value_that_cannot_be_taken_is_an_invalid_request(
    name: str, named: dict[str, Any], said: str, live: dict[str, Any]
) -> None:
    kind, _, method = name.partition(".")
    call = getattr(live[kind], method) if method else getattr(scistream, kind)
    with pytest.raises(scistream.InvalidRequest) as raised:
        call(**{**SECRETS[name], **named})
    assert hushed(raised.value) == said


class Deceptive:
    """It promises to be a number."""

    def __index__(self) -> int:
        raise ValueError(HUSH)


def test_what_pybind11_refuses_for_another_reason_is_not_shown_either() -> None:
    for call in (_core.Relay, _core.parse_endpoint):
        assert "one of these arguments" in refused(call, nothing=HUSH)
    pairs = [("127.0.0.1:0", "127.0.0.1:9")]
    assert "one of these arguments" in refused(_core.Relay, pairs, Deceptive())
