"""What servers of this process have to say goes to `logging.getLogger("scistream")`."""

from __future__ import annotations

import contextlib
import logging
import os
import threading

from scistream import _core

_logger = logging.getLogger("scistream")
_logger.addHandler(logging.NullHandler())
_complaints = logging.Handler()
_lock = threading.Lock()
_started: tuple[int, threading.Thread] | None = None
_ends = threading.Event()


def start() -> None:
    """Before the first server: from now on a thread passes on what comes."""
    global _started  # one for the process
    with _lock:
        if _started and _started[0] == os.getpid():
            return
        _ends.clear()
        thread = threading.Thread(target=_run, name="sci-log", daemon=True)
        _started = (os.getpid(), thread)
        thread.start()


def stop() -> None:
    """At the interpreter's end, after the last server: nothing that was said is lost."""
    global _started
    with _lock:
        if _started and _started[0] == os.getpid():
            _ends.set()
            _core.wake_logs()
            _started[1].join()
        _started = None


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()  # another thread of the parent's may have had it


os.register_at_fork(after_in_child=_after_fork)


def _run() -> None:
    while not _ends.is_set():
        _pass_on(10.0)
    _pass_on(0.0)


def _pass_on(seconds: float) -> None:
    for level, text in _core.take_logs(seconds):
        try:
            _logger.log(level, "%s", text)
        except BaseException:  # of a handler: what comes next concerns other ones too
            _complain(level, text)


def _complain(level: int, text: str) -> None:
    """About the exception that is being handled, as the handlers of `logging` do: to stderr."""
    with contextlib.suppress(Exception):
        record = _logger.makeRecord(_logger.name, level, __file__, 0, "%s", (text,), None)
        _complaints.handleError(record)
