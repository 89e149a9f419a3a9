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
