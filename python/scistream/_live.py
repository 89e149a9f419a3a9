"""What objects with threads and sockets have in common."""

from __future__ import annotations

import atexit
import contextlib
import itertools
import math
import os
from types import TracebackType
from typing import NoReturn, TypeVar, Union
from weakref import WeakValueDictionary

from scistream import _logs
from scistream._errors import InvalidRequest
from scistream._plain import NUMBER

Path = Union[str, "os.PathLike[str]"]
C = TypeVar("C", bound="Closing")

LONGEST = 10 * 366 * 86_400.0  # seconds, as `_core` has it


def seconds(what: str, value: float, least: float = 0.0) -> float:
    """The value of this argument, as `_core` takes it. InvalidRequest, or TypeError for no number.

    For what does not go to `_core` as it is.
    """
    NUMBER.check(what, value)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not least <= number <= LONGEST:
        raise InvalidRequest(
            f"{what}: it takes seconds, from {least:g} to 10 years, not {number:g}"
        )
    return number


class NotCopied:
    """An object that stands for something outside Python: copying it would not copy that."""

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"cannot pickle or copy a live {type(self).__name__}")


class Closing(NotCopied):
    """An object that a `with` block closes at its end."""

    def close(self) -> None:
        """Ends it. May be called again, and does nothing in a forked child."""
        raise NotImplementedError

    def __enter__(self: C) -> C:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Live(Closing):
    """An object that owns threads or sockets, and is closed when the interpreter exits."""

    def __init__(self) -> None:
        _open[next(_count)] = self


_open: WeakValueDictionary[int, Live] = WeakValueDictionary()
_count = itertools.count()


def _close_all() -> None:
    # The latest first: clients while the servers that they still talk to are there.
    for _, live in sorted(_open.items(), reverse=True):
        with contextlib.suppress(Exception):
            live.close()
    _logs.stop()


atexit.register(_close_all)
# What the parent opened is the parent's to close.
os.register_at_fork(after_in_child=_open.clear)
