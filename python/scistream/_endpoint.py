"""Addresses."""

from __future__ import annotations

from scistream import _core


class Endpoint(str):
    """An address, `host:port` or `[IPv6]:port`: a `str` that has been checked.

    Goes wherever the package takes an address, and comes back from it; sockets take `address`.
    Immutable, comparable, picklable.

        >>> Endpoint("[::1]:5000").address
        ('::1', 5000)

    Raises:
        InvalidRequest: The text is none; the message says why.

    """

    __slots__ = ()

    def __new__(cls, text: str) -> Endpoint:
        _core.parse_endpoint(text)
        return super().__new__(cls, text)

    @property
    def host(self) -> str:
        """A name, or a numeric address without brackets."""
        return _core.parse_endpoint(self)[0]

    @property
    def port(self) -> int:
        """1 to 65535."""
        return _core.parse_endpoint(self)[1]

    @property
    def address(self) -> tuple[str, int]:
        """Host and port, as `socket.create_connection` takes them."""
        return _core.parse_endpoint(self)
