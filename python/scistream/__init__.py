"""SciStream: secure memory-to-memory data streaming between scientific facilities.

`UserClient` requests sessions, `AppController` announces applications, `ControlServer` is a whole
facility, `Relay` forwards without sessions. Addresses are `"host:port"` strings, times are seconds,
rates Mbit/s. All objects may be used from any thread; every call that waits lets other threads run
and ends within 0.2 s of Ctrl-C. What is open when the interpreter exits is closed then. After
`os.fork()` the child must not use what the parent made: it raises `InvalidState`.
"""

from __future__ import annotations

from scistream._app import AppController
from scistream._client import Session, UserClient
from scistream._core import __version__
from scistream._errors import (
    AlreadyExists,
    AuthError,
    Cancelled,
    Exhausted,
    InvalidRequest,
    InvalidState,
    NotFound,
    PermissionDenied,
    ScistreamError,
    Timeout,
    Unavailable,
)
from scistream._relay import Relay
from scistream._server import ControlServer
from scistream._values import RelayStats, ServerInfo, SessionStatus, StateChange

__all__ = [
    "AlreadyExists",
    "AppController",
    "AuthError",
    "Cancelled",
    "ControlServer",
    "Exhausted",
    "InvalidRequest",
    "InvalidState",
    "NotFound",
    "PermissionDenied",
    "Relay",
    "RelayStats",
    "ScistreamError",
    "ServerInfo",
    "Session",
    "SessionStatus",
    "StateChange",
    "Timeout",
    "Unavailable",
    "UserClient",
    "__version__",
]

# The names are those of this package, wherever they are written down.
for _name in __all__:
    if isinstance(_public := globals()[_name], type):
        _public.__module__ = __name__
del _name, _public
