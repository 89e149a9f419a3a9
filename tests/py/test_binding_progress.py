"""Waits and streams are drawn where somebody looks, and nowhere else."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import scistream
from binding import python
from guides import of_language
from teletype import Teletype

# The hellos come when somebody types.
HELLOS = """
import contextlib, os, threading
import scistream

def hellos(both, session):
    for role, listeners in (("PROD", ["127.0.0.1:9"]), ("CONS", [])):
        sys.stdin.readline()
        both.controller(session, role, listeners).hello()
"""
SET_UP = f"""{HELLOS}
with scistream.LocalFacilities() as both, both.request(wait=False) as session:
    threading.Thread(target=hellos, args=(both, session)).start()
    session.wait_ready(progress=eval(sys.argv[1]))
"""
STREAM = """
import contextlib, socket
import scistream

@contextlib.contextmanager
def streaming():
    with socket.create_server(("127.0.0.1", 0)) as producer, scistream.LocalFacilities() as both:
        application = "127.0.0.1:%d" % producer.getsockname()[1]
        with both.request(prod_app=[application]) as session:
            with socket.create_connection(session.listeners[0].address) as consumer:
                with producer.accept()[0] as connection:
                    yield session, connection, consumer

def send(connection, consumer, size):
    connection.sendall(bytes(size))
    while size:
        size -= len(consumer.recv(size))
"""


def steps(line: str) -> str:
    """A drawing of a set-up without its time and the session's id."""
    return re.sub(r"^[0-9a-f]{8} | \d+\.\d s", "", line)


@pytest.mark.parametrize("progress", ["None", "True"])
def test_a_terminal_shows_what_a_set_up_waits_for(progress: str) -> None:
    with Teletype(SET_UP, progress) as terminal:
        terminal.until("awaits both hellos")
        terminal.type()
        terminal.until("awaits consumer's hello")
        terminal.type()
        assert terminal.end() == 0
    assert steps(terminal.drawn[-1]) == "✓ requested → ✓ hello → ✓ mapped → ✓ ready"
    assert "✓ requested → ● hello → mapped → ready, awaits both hellos" in map(
        steps, terminal.drawn
    )
    assert max(map(len, terminal.drawn)) < 80
    # Each is drawn over the one before, and the last one stays.
    assert re.fullmatch(r"(\r[^\r\n\x1b]*\x1b\[K)+\r\n", terminal.plain)
    assert "\x1b[32m✓ requested\x1b[0m" in terminal.written


def test_a_narrow_terminal_is_never_overrun() -> None:
    with Teletype(SET_UP, "True", columns=30) as terminal:
        terminal.until("hell")
        terminal.type()
        terminal.type()
        assert terminal.end() == 0
    assert max(map(len, terminal.drawn)) == 29


def test_a_terminal_without_colours_gets_none() -> None:
    with Teletype(SET_UP, "None", NO_COLOR="1") as terminal:
        terminal.until("both hellos")
        terminal.type()
        terminal.type()
        assert terminal.end() == 0
    assert terminal.written == terminal.plain != ""


def test_a_dumb_terminal_gets_a_line_for_each_step_in_its_characters() -> None:
    with Teletype(SET_UP, "None", TERM="dumb", PYTHONIOENCODING="ascii") as terminal:
        terminal.until("both hellos")
        terminal.type()
        terminal.until("consumer's hello")
        terminal.type()
        assert terminal.end() == 0
    assert "\x1b" not in terminal.written
    waiting = "+ requested -> * hello -> mapped -> ready"
    lines = [steps(line) for line in terminal.written.split("\r\n")]
    assert lines[0] in (waiting, f"{waiting}, awaits both hellos")
    assert lines[-3:] == [
        f"{waiting}, awaits consumer's hello",
        "+ requested -> + hello -> + mapped -> + ready",
        "",
    ]
    assert len(lines) <= 7, "a line for each change, not for each moment"


QUICK = """
import scistream
with scistream.LocalFacilities() as both:
    both.request(prod_app=["127.0.0.1:9"]).release()
    with both.request(wait=False, progress=True) as session:
        try:
            session.wait_ready(0.8, progress=False)
        except scistream.Timeout:
            print("waited")
"""


def test_what_is_soon_or_not_wanted_is_not_drawn() -> None:
    with Teletype(QUICK) as terminal:
        assert terminal.end() == 0
    assert (terminal.out, terminal.written) == ("waited\n", "")


def test_a_pipe_gets_nothing_unless_it_is_wanted() -> None:
    script = QUICK.replace("progress=False", "progress=None")
    assert python(script) == "waited\n"
    done = subprocess.run(
        [sys.executable, "-c", QUICK.replace("progress=False", "progress=True")],
        capture_output=True,
        text=True,
        check=True,
    )
    *_, last = done.stderr.splitlines()
    assert steps(last) == "✓ requested → ● hello → mapped → ready, not ready yet"
    assert "\x1b" not in done.stderr


@pytest.mark.parametrize("how", ["sys.stderr = None", "sys.stderr.close()"])
def test_without_a_stderr_it_goes_on(how: str) -> None:
    script = QUICK.replace("progress=False", "progress=True")
    assert python(f"import sys\n{how}\n{script}") == "waited\n"


CALLS = {
    "request": "both.request()",
    "wait_ready": "pending.wait_ready()",
    "aio": "asyncio.run(asynchronously(both))",
}


@pytest.mark.parametrize("call", CALLS)
def test_ctrl_c_leaves_a_whole_line_and_nothing_reserved(call: str) -> None:
    script = f"""{HELLOS}
import asyncio
from binding import eventually
from scistream import aio

async def asynchronously(both):
    roots = both.prod.certificate + both.cons.certificate
    async with aio.UserClient(roots=roots) as client:
        await client.request(both.prod.endpoint, both.cons.endpoint)

with scistream.LocalFacilities() as both:
    pending = both.request(wait=False) if {call == "wait_ready"} else None
    try:
        {CALLS[call]}
    except KeyboardInterrupt:
        if pending:
            pending.release()
        servers = both.prod.endpoint, both.cons.endpoint
        assert eventually(lambda: all(not both.client.info(each).sessions for each in servers))
        print("interrupted")
"""
    with Teletype(script) as terminal:
        terminal.until("both hellos")
        terminal.interrupt()
        assert terminal.end() == 0, terminal.written
    assert terminal.out == "interrupted\n"
    assert re.fullmatch(r"(\r[^\r\n\x1b]*\x1b\[K)+\r\n", terminal.plain)
    interrupted = "CancelledError" if call == "aio" else "KeyboardInterrupt"
    assert steps(terminal.drawn[-1]) == f"✓ requested → ✗ hello → mapped → ready, {interrupted}"


def test_a_set_up_that_fails_says_where() -> None:
    script = """
import scistream
with scistream.LocalFacilities() as both:
    try:
        both.request(timeout=1, progress=True)
    except scistream.Timeout:
        print("too late")
"""
    with Teletype(script) as terminal:
        assert terminal.end() == 0
    assert terminal.out == "too late\n"
    assert steps(terminal.drawn[-1]) == "✓ requested → ✗ hello → mapped → ready, Timeout"


def test_a_wrong_argument_is_refused_as_without() -> None:
    script = f"""{HELLOS}
with scistream.LocalFacilities() as both, both.request(wait=False) as session:
    for timeout in (-1, float("nan")):
        try:
            session.wait_ready(timeout)
        except scistream.InvalidRequest as error:
            print(error)
    try:
        both.request(num_conn=0)
    except scistream.InvalidRequest as error:
        print(error)
"""
    with Teletype(script) as terminal:
        assert terminal.end() == 0
    assert terminal.written == ""
    said = [re.sub(r"^127[\d.:]+ ", "", line) for line in terminal.out.splitlines()]
    assert len(said) == 3
    assert said == [re.sub(r"^127[\d.:]+ ", "", line) for line in python(script).splitlines()]


def test_the_page_shows_what_a_terminal_shows() -> None:
    (shown,) = of_language("python", "text")
    set_up, stream = shown.splitlines()
    assert steps(set_up) == "✓ requested → ● hello → mapped → ready, awaits consumer's hello"
    script = f"""{STREAM}
with streaming() as (session, connection, consumer):
    with scistream.Progress(session, total=3_000_000):
        sys.stdin.readline()
        send(connection, consumer, 1_480_000)
        sys.stdin.readline()
"""
    with Teletype(script) as terminal:
        terminal.until("0:01")  # a rate is that of what moves from here on
        terminal.type()
        terminal.until("1.48 MB .* left 1 conn")
        terminal.type()
        assert terminal.end() == 0
    varying = r"[0-9a-f]{8}|[\d.]+ [kMG]?bit/s|\d+:\d\d| [MG]B"
    drawn = [re.sub(varying, "#", line) for line in terminal.drawn]
    assert re.sub(varying, "#", stream) in drawn


# ---- streams -------------------------------------------------------------------------------------


def test_a_stream_is_drawn_until_its_block_ends() -> None:
    script = f"""{STREAM}
with streaming() as (session, connection, consumer):
    with scistream.Progress(session, total=2_000_000):
        with scistream.Progress(session):
            send(connection, consumer, 500_000)
        sys.stdin.readline()
        send(connection, consumer, 500_000)
"""
    with Teletype(script) as terminal:
        terminal.until(r"500 kB of 2\.00 MB 25 % ━━────── .* 1 conn")
        terminal.type()
        assert terminal.end() == 0
    assert re.fullmatch(r"(\r[^\r\n\x1b]*\x1b\[K)+\r\n", terminal.plain), "there was one line"
    assert re.search(
        r"^[0-9a-f]{8} 1\.00 MB of 2\.00 MB 50 % ━━━━──── "
        r"[\d.]+ [kM]?bit/s 0:\d\d(, [\d:]+ left)? 1 conn$",
        terminal.drawn[-1],
    )


def test_a_loop_over_a_stream_ends_with_the_session() -> None:
    script = f"""{STREAM}
with streaming() as (session, connection, consumer):
    send(connection, consumer, 500_000)
    told = []
    for stats in scistream.Progress(session):
        told.append(stats.bytes_to_consumer)
        if told[-1] == 500_000:
            session.release()
    print(told[-1])
"""
    with Teletype(script) as terminal:
        assert terminal.end() == 0
    assert terminal.out == "500000\n"
    assert re.search(r" 500 kB 0 bit/s 0:0\d \d conn, ended$", terminal.drawn[-1])
    assert python(f"import sys\n{script}") == "500000\n"


def test_ctrl_c_in_a_loop_over_a_stream_leaves_a_whole_line() -> None:
    script = f"""{STREAM}
with streaming() as (session, connection, consumer):
    try:
        for stats in scistream.Progress(session):
            pass
    except KeyboardInterrupt:
        print("interrupted")
"""
    with Teletype(script) as terminal:
        terminal.until("0:01")
        terminal.interrupt()
        assert terminal.end() == 0
    assert terminal.out == "interrupted\n"
    assert re.fullmatch(r"(\r[^\r\n\x1b]*\x1b\[K)+\r\n", terminal.plain)
    assert terminal.drawn[-1].endswith(" 1 conn, KeyboardInterrupt")


@pytest.mark.parametrize("total", [float("nan"), float("inf"), 1.5, 0, -1, "7", [7]])
def test_what_is_no_number_of_bytes_is_refused(total: Any) -> None:
    session: Any = None
    with pytest.raises(scistream.InvalidRequest, match=re.escape(f"total: {total!r} is no number")):
        scistream.Progress(session, total=total, show=True)


def test_one_progress_is_for_one_loop() -> None:
    script = f"""{STREAM}
with streaming() as (session, connection, consumer):
    progress = scistream.Progress(session)
    for stats in progress:
        break
    progress.close()
    print(repr(progress) == f"<scistream.Progress of {{session.uid}}>")
    try:
        list(progress)
    except scistream.InvalidState as error:
        print(error)
    try:
        scistream.Progress(session, total=0)
    except scistream.InvalidRequest as error:
        print(error)
"""
    with Teletype(script) as terminal:
        assert terminal.end() == 0
    assert terminal.out.splitlines() == [
        "True",
        "a Progress is good for one block or loop: make another one",
        "total: 0 is no number of bytes",
    ]
    assert terminal.written.endswith("\r\n")


# ---- notebooks -----------------------------------------------------------------------------------

RUN = """
import sys
import nbformat
from nbclient import NotebookClient
cells = [nbformat.v4.new_code_cell(each) for each in sys.argv[2:]]
notebook = nbformat.v4.new_notebook(cells=cells)
NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[1])
"""
CELLS = (
    """
import threading
import scistream

both = scistream.LocalFacilities()
both.start()
both.request(prod_app=["127.0.0.1:9"]).release()
session = both.request(wait=False)
""",
    """
try:
    session.wait_ready(0.7)
except scistream.Timeout:
    print("not yet")
""",
    """
for role, listeners in (("PROD", ["127.0.0.1:9"]), ("CONS", [])):
    both.controller(session, role, listeners).hello()
session.wait_ready(progress=True)
with scistream.Progress(session, total=100):
    session.release()
both.close()
""",
)


@pytest.mark.slow
def test_a_notebook_shows_one_output_that_changes(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUN, tmp_path / "done.ipynb", *CELLS],
        cwd=tmp_path,
        env={**os.environ, "IPYTHONDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    cells = json.loads((tmp_path / "done.ipynb").read_text())["cells"]
    shown = [
        ["".join(output["data"]["text/plain"]) for output in cell["outputs"] if "data" in output]
        for cell in cells
    ]
    assert shown[0] == [], "that was soon"
    (waited,) = shown[1]
    assert steps(waited) == "✓ requested → ● hello → mapped → ready, not ready yet"
    ready, streamed = shown[2]
    assert steps(ready) == "✓ requested → ✓ hello → ✓ mapped → ✓ ready"
    assert re.search(r" 0 B of 100 B 0 % ──────── 0 bit/s 0:00 0 conn(, ended)?$", streamed)
    (html,) = [output["data"]["text/html"] for output in cells[1]["outputs"] if "data" in output]
    assert '<span style="color:green">✓ requested</span>' in "".join(html)


def test_what_a_notebook_needs_is_not_loaded_elsewhere() -> None:
    script = """
import sys
import scistream
with scistream.LocalFacilities() as both:
    both.request(prod_app=["127.0.0.1:9"]).release()
print([name for name in ("IPython", "matplotlib", "numpy") if name in sys.modules])
"""
    assert python(script) == "[]\n"
