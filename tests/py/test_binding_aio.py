"""`scistream.aio`: what is awaited ends as it does without; cancelling it cancels its rpc."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import inspect
import json
import socket
import sys
import threading
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import scistream
from binding import Facilities, facilities, listening, python
from facility import eventually
from scistream import aio


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Facilities]:
    with facilities(tmp_path_factory.mktemp("state"), "21250-21299") as both:
        yield both


def client_of(both: Facilities, folder: Path) -> aio.UserClient:
    return aio.UserClient(roots=both.roots, state_dir=folder)


def test_a_session_from_request_to_release(both: Facilities, tmp_path: Path) -> None:
    async def run() -> list[scistream.SessionEvent]:
        ends = both.prod.endpoint, both.cons.endpoint
        with listening() as (_, application):
            async with (
                client_of(both, tmp_path) as client,
                client.request(*ends, prod_app=[application], num_conn=2) as session,
            ):
                assert session.ready
                assert len(session.listeners) == 2
                assert isinstance(session.listeners[0], scistream.Endpoint)
                assert {side.role for side in await session.status()} == {"PROD", "CONS"}
                assert (await session.stats()).connections_total == 0
                assert await session.set_rate(10) is False
                assert (await client.info(ends[0])).sessions == 1
                assert "set up" in repr(session)
                events = []
                async for event in session.watch(period=0.1):
                    events.append(event)
                    if len(events) == 2:
                        await session.release()
                await session.release()
            return events

    events = asyncio.run(run())
    assert [event.kind for event in events].count("gone") == 2
    assert both.nothing_reserved()


def test_a_session_may_be_awaited_without_a_block(both: Facilities, tmp_path: Path) -> None:
    async def run() -> None:
        ends = both.prod.endpoint, both.cons.endpoint
        with listening() as (_, application):
            async with client_of(both, tmp_path) as client:
                session = await client.request(*ends, prod_app=[application])
                assert (await client.status(session.uid))[0].uid == session.uid
                await client.release(session.uid)
                with pytest.raises(scistream.NotFound):
                    await client.status("never-requested")

    asyncio.run(run())
    assert both.nothing_reserved()


def test_a_drain_waits_unless_it_is_cancelled(both: Facilities, tmp_path: Path) -> None:
    async def run() -> None:
        ends = both.prod.endpoint, both.cons.endpoint
        with listening() as (server, application):
            async with client_of(both, tmp_path) as client:
                session = await client.request(*ends, prod_app=[application])
                with socket.create_connection(session.listeners[0].address), server.accept()[0]:
                    for drain in (
                        session.release(drain=True),
                        client.release(session.uid, drain=True),
                    ):
                        draining = asyncio.create_task(drain)
                        while {side.state for side in await session.status()} != {"releasing"}:
                            await asyncio.sleep(0.01)
                        assert not draining.done()
                        draining.cancel()
                        with pytest.raises(asyncio.CancelledError):
                            await draining
                await session.release(drain=True)

    asyncio.run(run())
    assert both.nothing_reserved()


def test_application_controllers_of_both_sides_complete_it(
    both: Facilities, tmp_path: Path
) -> None:
    async def run() -> None:
        ends = both.prod.endpoint, both.cons.endpoint
        async with client_of(both, tmp_path) as client:
            session = await client.request(*ends, wait=False)
            with pytest.raises(scistream.Timeout):
                await session.wait_ready(0.05)
            options = {"roots": both.roots, "state_dir": tmp_path}
            prod = aio.AppController(
                session.uid,
                ends[0],
                role="PROD",
                listeners=["127.0.0.1:9"],
                key=session.app_key("PROD"),
                **options,
            )
            cons = aio.AppController(
                session.uid, ends[1], role="CONS", key=session.app_key("CONS"), **options
            )
            async with prod, session:
                listeners = await cons.hello(wait_ready=True)
                await cons.close()
                assert listeners == session.listeners
                assert session.targets == ("127.0.0.1:9",)

    asyncio.run(run())
    assert both.nothing_reserved()


def test_a_cancelled_request_leaves_nothing_reserved(both: Facilities, tmp_path: Path) -> None:
    async def run() -> None:
        async with client_of(both, tmp_path) as client:
            waiting = asyncio.ensure_future(client.request(both.prod.endpoint, both.cons.endpoint))
            reserved = both.client.info
            while not reserved(both.cons.endpoint).sessions:
                await asyncio.sleep(0.01)
            began = time.monotonic()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert time.monotonic() - began < 1
            while not both.nothing_reserved():
                await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(run(), 30))


def test_why_a_request_has_failed_is_told(both: Facilities, tmp_path: Path) -> None:
    """Though its exception is of the kind that a wait of our own would raise."""

    async def run() -> None:
        async with client_of(both, tmp_path) as client:
            with pytest.raises(scistream.Timeout, match="hello"):
                await client.request(both.prod.endpoint, both.cons.endpoint, timeout=0.3)

    asyncio.run(run())
    assert both.nothing_reserved()


def test_without_a_descriptor_left_nothing_stays_reserved(
    both: Facilities, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(_: int) -> int:
        raise OSError(errno.EMFILE, "none is left")

    async def run() -> None:
        async with client_of(both, tmp_path) as client:
            monkeypatch.setattr("scistream._watch.os.dup", none_left)
            with pytest.raises(OSError, match="none is left"):
                await client.request(both.prod.endpoint, both.cons.endpoint)
            monkeypatch.undo()
            while not both.nothing_reserved():
                await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(run(), 30))


def test_a_request_has_a_type_that_users_can_name(both: Facilities, tmp_path: Path) -> None:
    """It is awaited or entered, whichever its holder likes, and asks for nothing before."""

    async def enter(request: aio.Request) -> scistream.SessionStats:
        async with request as session:
            return await session.stats()

    async def wait(request: Awaitable[aio.Session]) -> None:
        await (await request).release()

    async def run() -> None:
        ends = both.prod.endpoint, both.cons.endpoint
        async with client_of(both, tmp_path) as client:
            requests = [client.request(*ends, prod_app=["127.0.0.1:9"]) for _ in range(2)]
            assert both.nothing_reserved()
            assert (await enter(requests[0])).connections_total == 0
            await wait(requests[1])
            for request in requests:
                with pytest.raises(scistream.InvalidState, match="another one"):
                    await request

    asyncio.run(run())
    assert both.nothing_reserved()
    assert "Request" in aio.__all__
    assert aio.UserClient.request.__annotations__["return"] == "Request"


def test_a_block_that_fails_warns_of_what_was_not_released(
    both: Facilities, tmp_path: Path
) -> None:
    """And raises what went wrong in the block; so do blocks without asyncio."""

    def fail(session: aio.Session | scistream.Session, client: scistream.UserClient) -> None:
        client.close()
        raise KeyError(session.uid)

    async def run(at_once: bool) -> None:
        client = client_of(both, tmp_path)
        request = client.request(both.prod.endpoint, both.cons.endpoint, prod_app=["127.0.0.1:9"])
        async with request if at_once else await request as session:
            fail(session, client.sync)

    def sync() -> None:
        client = scistream.UserClient(roots=both.roots, state_dir=tmp_path)
        with client.request(
            both.prod.endpoint, both.cons.endpoint, prod_app=["127.0.0.1:9"]
        ) as session:
            fail(session, client)

    def awaited() -> None:
        asyncio.run(run(at_once=False))

    def entered() -> None:
        asyncio.run(run(at_once=True))

    for call in (awaited, entered, sync):
        with (
            pytest.warns(ResourceWarning, match="was not released") as warned,
            pytest.raises(KeyError) as failed,
        ):
            call()
        assert warned[0].filename == __file__, "it names the block"
        both.client.release(failed.value.args[0], [both.prod.endpoint, both.cons.endpoint])
    assert both.nothing_reserved()


def test_threads_may_ask_at_once_why_it_failed(both: Facilities) -> None:
    with pytest.raises(scistream.Unavailable):
        both.client.request("127.0.0.1:1", both.cons.endpoint)
    failed = both.client.request("127.0.0.1:1", both.cons.endpoint, wait=False)
    with pytest.raises(scistream.Unavailable):
        failed.wait_ready()

    def ask() -> None:
        for _ in range(200):
            with pytest.raises(scistream.Unavailable):
                failed._core.begin_wait().result()

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=ask, daemon=True) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()
    finally:
        sys.setswitchinterval(before)


def test_a_cancelled_hello_ends_its_rpc(both: Facilities, tmp_path: Path) -> None:
    async def run() -> None:
        controller = aio.AppController(
            "not-there", both.prod.endpoint, role="CONS", roots=both.roots, state_dir=tmp_path
        )
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(controller.hello(patience=60), 0.2)
        began = time.monotonic()
        await controller.close()
        assert time.monotonic() - began < 5

    asyncio.run(run())


def test_the_loop_turns_while_it_waits_and_has_no_thread_more(
    both: Facilities, tmp_path: Path
) -> None:
    async def run() -> None:
        async with client_of(both, tmp_path) as client:
            session = await client.request(both.prod.endpoint, both.cons.endpoint, wait=False)
            waits = [asyncio.ensure_future(session.wait_ready()) for _ in range(20)]
            before = threading.active_count()
            turns = 0
            while turns < 100:
                await asyncio.sleep(0)
                turns += 1
            assert threading.active_count() == before
            assert not any(wait.done() for wait in waits)
            await session.release()
            for wait in waits:
                with pytest.raises(scistream.Cancelled):
                    await wait

    asyncio.run(run())


def test_many_calls_at_once(both: Facilities, tmp_path: Path) -> None:
    async def run() -> None:
        async with client_of(both, tmp_path) as client:
            infos = await asyncio.gather(*(client.info(both.prod.endpoint) for _ in range(50)))
            assert {info.version for info in infos} == {scistream.__version__}

    asyncio.run(run())


def test_a_watch_may_be_cancelled(both: Facilities, tmp_path: Path) -> None:
    async def take(session: aio.Session) -> None:
        async for event in session.watch(period=60):
            assert event.kind == "state"

    async def run() -> None:
        with listening() as (_, application):
            ends = both.prod.endpoint, both.cons.endpoint
            async with (
                client_of(both, tmp_path) as client,
                client.request(*ends, prod_app=[application]) as session,
            ):
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(take(session), 0.3)

    asyncio.run(run())
    assert both.nothing_reserved()


def threads_named(name: str) -> int:
    found = 0
    for comm in Path("/proc/self/task").glob("*/comm"):
        with contextlib.suppress(OSError):  # it ends as it is looked at
            found += comm.read_text().strip() == name
    return found


def test_a_cancelled_listing_ends_its_rpc(both: Facilities, tmp_path: Path) -> None:
    async def run(server: socket.socket, nobody: str) -> None:
        (tmp_path / "sessions").mkdir()
        entry = json.dumps({"uid": "one", "prod": nobody})
        (tmp_path / "sessions" / "one.json").write_text(entry)
        async with client_of(both, tmp_path) as client:
            listing = asyncio.ensure_future(client.sessions())
            asked, _ = await asyncio.to_thread(server.accept)
            with asked:  # uncancelled, the call takes 2 s
                listing.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await listing
                eventually(lambda: threads_named("sci-call") == 0, "the call has ended", 1.5)
            assert (await client.info(both.prod.endpoint)).sessions == 0, "the client lives"

    with listening() as (server, silent):
        asyncio.run(run(server, silent))


def test_what_is_not_awaited_is_not_asked_for(both: Facilities, tmp_path: Path) -> None:
    """And that is said, as of a coroutine, in the line that has forgotten it."""

    async def run() -> None:
        async with client_of(both, tmp_path) as client:
            client.request(both.prod.endpoint, both.cons.endpoint)
            with pytest.raises(scistream.Unavailable):
                await client.info("127.0.0.1:1")

    with pytest.warns(RuntimeWarning, match="request was never awaited") as warned:
        asyncio.run(run())
    assert [each.filename for each in warned] == [__file__]
    eventually(both.nothing_reserved, "nothing was asked for")


def test_what_is_awaited_warns_of_nothing(both: Facilities, tmp_path: Path) -> None:
    """However it ends; nor does what the interpreter's end finds."""

    async def run() -> None:
        async with client_of(both, tmp_path) as client:
            await asyncio.gather(
                client.request("127.0.0.1:1", both.cons.endpoint),
                client.request(both.prod.endpoint, both.cons.endpoint, num_conn=0),
                return_exceptions=True,
            )
            waiting = client.request(both.prod.endpoint, both.cons.endpoint)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(waiting, 0.05)
            with pytest.raises(scistream.InvalidRequest):
                async with client.request(both.prod.endpoint, both.cons.endpoint, num_conn=0):
                    pass
            while not both.nothing_reserved():
                await asyncio.sleep(0.01)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asyncio.run(asyncio.wait_for(run(), 30))
        gc.collect()
    kept = "from scistream import aio; request = aio.UserClient(roots='x').request('a:1', 'b:1')"
    assert python(f"import sys; {kept}; sys.kept = request") == ""


@pytest.mark.parametrize("timeout", [-1, float("nan"), float("inf"), 10**400, 1e12])
def test_a_time_that_is_none_is_refused(both: Facilities, tmp_path: Path, timeout: float) -> None:
    async def run() -> None:
        async with client_of(both, tmp_path) as client:
            async with client.request(both.prod.endpoint, both.cons.endpoint, wait=False) as made:
                for progress in (None, True):
                    with pytest.raises(scistream.InvalidRequest, match="timeout: it takes seconds"):
                        await made.wait_ready(timeout, progress=progress)
                    with pytest.raises(TypeError, match="timeout"):
                        await made.wait_ready("x", progress=progress)  # type: ignore[arg-type]
                    with pytest.raises(scistream.InvalidRequest, match="timeout: it takes seconds"):
                        made.sync.wait_ready(timeout, progress=True)
            with pytest.raises(scistream.InvalidRequest, match="period: it takes seconds"):
                made.watch(period=timeout)

    asyncio.run(run())


class Announced:
    """An object that is called as an async function is."""

    async def __call__(self, word: str) -> str:
        return word


def test_a_controller_decorates_what_is_awaited(both: Facilities, tmp_path: Path) -> None:
    """Either kind of controller: the loop turns while it says hello, which comes first."""

    async def run(kind: type[aio.AppController | scistream.AppController]) -> None:
        async with (
            client_of(both, tmp_path) as client,
            client.request(both.prod.endpoint, both.cons.endpoint, wait=False) as session,
        ):
            ends = {"PROD": both.prod.endpoint, "CONS": both.cons.endpoint}
            for end in ends.values():
                while not (await client.info(end)).sessions:
                    await asyncio.sleep(0.01)

            def announce(role: str, listeners: Sequence[str] = ()) -> Any:
                return kind(
                    session.uid,
                    ends[role],
                    role=role,
                    listeners=listeners,
                    key=session.app_key(role),
                    roots=both.roots,
                    state_dir=tmp_path,
                )

            async def body(word: str) -> str:
                """Consumes."""
                await session.wait_ready(15)
                return word

            consume = announce("CONS")(body)
            assert inspect.iscoroutinefunction(consume)
            assert (consume.__name__, consume.__doc__) == ("body", "Consumes.")
            waiting = asyncio.ensure_future(consume("consumed"))
            phase = ""
            while phase != "update":
                phase = next(s.phase for s in await session.status() if s.role == "CONS")
            assert not waiting.done()
            produce = announce("PROD", ["127.0.0.1:9"])(Announced())
            assert await produce("produced") == "produced"
            assert await waiting == "consumed"
            assert await produce("again") == "again", "each call says hello"

    for kind in (aio.AppController, scistream.AppController):
        asyncio.run(asyncio.wait_for(run(kind), 60))
    assert both.nothing_reserved()


def test_after_a_hello_that_fails_or_is_cancelled_nothing_runs(
    both: Facilities, tmp_path: Path
) -> None:
    async def consume() -> None:
        raise AssertionError

    async def run(silent: str) -> None:
        options: dict[str, Any] = {"role": "CONS", "roots": both.roots, "state_dir": tmp_path}
        for kind in (aio.AppController, scistream.AppController):
            with pytest.raises(scistream.NotFound):
                await kind("not-there", both.prod.endpoint, **options)(consume)()
            began = time.monotonic()
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(kind("any", silent, **options)(consume)(), 0.2)
            assert time.monotonic() - began < 5

    with listening() as (_, silent):
        asyncio.run(run(silent))


def test_only_async_functions_are_decorated_by_one_for_asyncio(
    both: Facilities, tmp_path: Path
) -> None:
    controller = aio.AppController(
        "any", both.prod.endpoint, role="CONS", roots=both.roots, state_dir=tmp_path
    )

    async def generate() -> AsyncIterator[int]:
        yield 1

    for function in (generate, len):
        with pytest.raises(TypeError, match="no async function"):
            controller(function)  # type: ignore[type-var]
    asyncio.run(controller.close())


@pytest.mark.parametrize("kind", ["UserClient", "Session", "AppController"])
def test_it_has_all_that_the_package_has(kind: str) -> None:
    """Methods and properties, and their parameters."""
    mine, theirs = getattr(aio, kind), getattr(scistream, kind)
    names = {name for name in vars(theirs) if not name.startswith("_")}
    assert names - {name for name in vars(mine) if not name.startswith("_")} == set()
    for name in names:
        ours, other = vars(mine)[name], vars(theirs)[name]
        if isinstance(other, property):
            assert isinstance(ours, property), name
            continue
        parameters = [inspect.signature(each).parameters for each in (ours, other)]
        assert [str(each) for each in parameters[0].values()] == [
            str(each) for each in parameters[1].values()
        ], name
