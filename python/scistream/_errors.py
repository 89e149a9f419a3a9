"""The exceptions of this package, one a cause; `_core` raises them."""
# ruff: noqa: N818  # the names say what happened; that it is an error shows where they are raised

from __future__ import annotations

from typing import Any


class ScistreamError(Exception):
    """Something failed; the subclasses say why.

    The base class itself is raised where no cause is known. Messages never hold a secret.

    Attributes:
        code: The cause's name, as in `--json` documents and docs/exit-codes.md.
        details: A sentence that names the offending value and, where there is one, the remedy.
        uid: The session it is about, or None.
        retryable: Whether the same call may succeed later.

    """

    code: str = "failure"
    retryable: bool = False

    def __init__(self, details: str = "", *, uid: str | None = None) -> None:
        super().__init__(details)
        self.details = details
        self.uid = uid

    def __str__(self) -> str:
        return self.details

    def __reduce__(self) -> tuple[Any, ...]:
        return (_again, (type(self), self.details, self.uid))


def _again(kind: type[ScistreamError], details: str, uid: str | None) -> ScistreamError:
    """Unpickles an exception."""
    return kind(details, uid=uid)


class AuthError(ScistreamError):
    """The caller, or the server, could not prove who it is: token, key, certificate."""

    code = "unauthenticated"


class PermissionDenied(ScistreamError):
    """The caller is known there and may not do this."""

    code = "permission_denied"


class NotFound(ScistreamError):
    """There is no session, file or listener of that name."""

    code = "not_found"


class Unavailable(ScistreamError):
    """The other end cannot be reached, or is going away."""

    code = "unavailable"
    retryable = True


class Timeout(ScistreamError, TimeoutError):
    """The time allowed ran out."""

    code = "timeout"
    retryable = True


class InvalidRequest(ScistreamError, ValueError):
    """An argument is wrong; repeating the call cannot help."""

    code = "invalid_argument"


class Exhausted(ScistreamError):
    """Too few ports, too little bandwidth, or too many waiting callers."""

    code = "exhausted"
    retryable = True


class AlreadyExists(ScistreamError):
    """The id, port or folder is in use by somebody else or with other values."""

    code = "already_exists"


class InvalidState(ScistreamError):
    """The object or session is not in a state that allows this: closed, not started, forked."""

    code = "failed_precondition"


class Cancelled(ScistreamError):
    """The call was withdrawn: its client was closed while it waited."""

    code = "cancelled"
