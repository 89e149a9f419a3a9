"""SciStream: secure memory-to-memory data streaming between scientific facilities.

`UserClient` requests sessions, `AppController` announces applications, `ControlServer` is a whole
facility, `LocalFacilities` two of them for a try, `Relay` forwards without sessions, `DataServer`,
`Authenticator` and `Policy` extend a facility in Python;
`scistream.aio` has the first two for asyncio. Addresses are `"host:port"` strings, or `Endpoint`,
which is one; times are seconds, rates Mbit/s. All objects may be used from any thread; every call
that waits lets other threads run and ends within 0.2 s of Ctrl-C. What is open when the interpreter
exits is closed then. After `os.fork()` the child must not use what the parent made: it raises
`InvalidState`.
"""

from __future__ import annotations

from scistream._app import AppController
from scistream._client import Session, UserClient
from scistream._core import __version__
from scistream._endpoint import Endpoint
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
from scistream._extend import (
    Authenticator,
    Channel,
    DataServer,
    ForwardRequest,
    Identity,
    ListenRequest,
    Policy,
    Rights,
    Traffic,
)
from scistream._local import LocalFacilities
from scistream._progress import Progress
from scistream._relay import Relay
from scistream._server import ControlServer
from scistream._values import (
    Connection,
    RelayStats,
    RequestedSession,
    ServerInfo,
    SessionEvent,
    SessionStats,
    SessionStatus,
    StateChange,
)
from scistream._watch import Watch

__all__ = [
    "AlreadyExists",
    "AppController",
    "AuthError",
    "Authenticator",
    "Cancelled",
    "Channel",
    "Connection",
    "ControlServer",
    "DataServer",
    "Endpoint",
    "Exhausted",
    "ForwardRequest",
    "Identity",
    "InvalidRequest",
    "InvalidState",
    "ListenRequest",
    "LocalFacilities",
    "NotFound",
    "PermissionDenied",
    "Policy",
    "Progress",
    "Relay",
    "RelayStats",
    "RequestedSession",
    "Rights",
    "ScistreamError",
    "ServerInfo",
    "Session",
    "SessionEvent",
    "SessionStats",
    "SessionStatus",
    "StateChange",
    "Timeout",
    "Traffic",
    "Unavailable",
    "UserClient",
    "Watch",
    "__version__",
]

# The names are those of this package, wherever they are written down.
for _name in __all__:
    if isinstance(_public := globals()[_name], type):
        _public.__module__ = __name__
del _name, _public
