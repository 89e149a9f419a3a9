"""What servers in a process say goes to Python's `logging`."""

from __future__ import annotations

import logging
import threading

import pytest

import scistream
from binding import python
from facility import eventually


def said(caplog: pytest.LogCaptureFixture, words: str) -> bool:
    return any(words in record.getMessage() for record in caplog.records)


def test_a_server_is_heard(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "scistream"):
        with scistream.LocalFacilities() as both:
            both.request(prod_app=["127.0.0.1:9"], uid="heard-of").release()
        eventually(lambda: said(caplog, "heard-of"), "its session is named")
    records = [record for record in caplog.records if record.name == "scistream"]
    assert {record.levelno for record in records} <= {20, 30, 40}
    assert {record.threadName for record in records} == {"sci-log"}


def test_only_what_is_wanted_is_heard(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "scistream"), scistream.LocalFacilities():
        pass
    assert not caplog.records


def test_one_thread_listens_however_many_servers_there_are() -> None:
    with scistream.LocalFacilities(), scistream.LocalFacilities():
        assert [each.name for each in threading.enumerate()].count("sci-log") == 1


@pytest.mark.parametrize("error", ["ValueError", "SystemExit"])
def test_a_handler_that_fails_is_told_of_and_keeps_nothing_from_others(error: str) -> None:
    program = f"""
import logging, sys, scistream
class Failing(logging.Handler):
    def emit(self, record):
        raise {error}("no room")
logger = logging.getLogger("scistream")
logger.setLevel("INFO")
failing = Failing()
logger.addHandler(failing)
sys.stderr = sys.stdout  # where `logging` complains
with scistream.LocalFacilities() as both:
    both.request(prod_app=["127.0.0.1:9"], uid="first").release()
    both.request(prod_app=["127.0.0.1:9"], uid="second").release()
logging.raiseExceptions = False
scistream.ControlServer(port=0, listener_ip="127.0.1.1").start()
"""
    said = python(program)
    for uid in ("first", "second"):
        assert any("Arguments: " in line and uid in line for line in said.splitlines()), said
    assert f"{error}: no room" in said
    assert said.count("--- Logging error ---") == said.count("Arguments: ")


def test_nothing_is_lost_at_the_end_and_nothing_is_said_without_a_handler() -> None:
    program = """
import logging, sys, scistream
{}
both = scistream.LocalFacilities()
both.start()
both.request(prod_app=["127.0.0.1:9"], uid="last-words")
"""
    assert python(program.format("")) == ""
    shows = "logging.basicConfig(level='INFO', stream=sys.stdout, format='%(name)s %(message)s')"
    lines = python(program.format(shows)).splitlines()
    assert any(line.startswith("scistream ") and "last-words" in line for line in lines), lines
