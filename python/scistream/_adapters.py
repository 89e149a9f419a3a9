"""What one has extended a control server with, as `_core` calls it."""

from __future__ import annotations

import logging
import operator
import time
import traceback
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from scistream._app import texts
from scistream._endpoint import Endpoint
from scistream._errors import ScistreamError
from scistream._extend import (
    Authenticator,
    Channel,
    DataServer,
    ForwardRequest,
    Identity,
    ListenRequest,
    Traffic,
)

_log = logging.getLogger("scistream")


def _logged(owner: object, what: str, *arguments: Any) -> Any:
    """What a user has written: how it failed is for the log, that it did for the session."""
    try:
        member = getattr(owner, what)
        return member(*arguments) if callable(member) else member
    except ScistreamError:
        raise
    except Exception:
        _log.exception("%s of %s has failed", what, type(owner).__name__)
        raise


def _number(what: str, value: object, most: int = 2**64 - 1) -> int:
    """Of somebody else's code; raises, with its name, what is no whole number up to `most`."""
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{what}: {value!r} is no whole number") from None
    if not 0 <= number <= most:
        raise ValueError(f"{what}: {number} is not from 0 to {most}")
    return number


def _word(what: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{what}: {value!r} is no text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{what}: {value!r} is no text that UTF-8 can write") from None
    return value


class ChannelAdapter:
    """A `Channel`, as `_core` calls it."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def ports(self) -> list[int]:
        """As whole numbers."""
        return [_number("ports", port, 65535) for port in _logged(self._channel, "ports")]

    def forward(
        self,
        targets: list[str],
        transport: str,
        data_key: bytes,
        rate: int,
        leased: bool,
        capacity: int,
        permits: Callable[[str, int], bool],
    ) -> None:
        """With what `ForwardRequest` has."""
        request = ForwardRequest(
            targets=tuple(map(Endpoint, targets)),
            transport=transport,
            data_key=data_key,
            rate=rate,
            rate_is_leased=leased,
            capacity=capacity,
            permits=permits,
        )
        _logged(self._channel, "forward", request)

    def cut(self) -> None:
        """As it is."""
        _logged(self._channel, "cut")

    def drain(self) -> None:
        """As it is."""
        _logged(self._channel, "drain")

    def traffic(self) -> tuple[int, ...]:
        """In the order of `Traffic`."""
        now = self._channel.traffic()
        if not isinstance(now, Traffic):
            raise TypeError(f"traffic returned {type(now).__name__}, which is no scistream.Traffic")
        return tuple(_number(each.name, getattr(now, each.name)) for each in fields(Traffic))

    def connections(self) -> list[tuple[int, int, str, str, int, int]]:
        """Each in the order of `Connection`."""
        return [
            (
                _number("id", each.id),
                _number("port", each.port, 65535),
                _word("peer", each.peer),
                _word("target", each.target),
                _number("bytes_to_consumer", each.bytes_to_consumer),
                _number("bytes_to_producer", each.bytes_to_producer),
            )
            for each in self._channel.connections()
        ]


class DataServerAdapter:
    """A `DataServer`, as `_core` calls it."""

    def __init__(self, server: DataServer) -> None:
        self._server = server
        self.kind = _word("kind", server.kind)
        self.transports = texts("transports", server.transports)

    def listen(
        self,
        uid: str,
        role: str,
        num_conn: int,
        bind_host: str,
        first: int,
        last: int,
        exact_ports: list[int],
        datagrams: bool,
        proxy_protocol: bool,
    ) -> ChannelAdapter:
        """With what `ListenRequest` has."""
        request = ListenRequest(
            uid=uid,
            role=role,
            num_conn=num_conn,
            bind_host=bind_host,
            ports=range(first, last + 1),
            exact_ports=tuple(exact_ports),
            datagrams=datagrams,
            proxy_protocol=proxy_protocol,
        )
        channel = _logged(self._server, "listen", request)
        if not isinstance(channel, Channel):
            raise TypeError(
                f"listen returned {type(channel).__name__}, which is no scistream.Channel"
            )
        return ChannelAdapter(channel)


class AuthenticatorAdapter:
    """An `Authenticator`, as `_core` calls it."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator
        self._next_complaint = 0.0

    def _complain(self, token: str, error: Exception) -> None:
        """Once a minute: whoever calls again and again would fill the log. Without the token."""
        if time.monotonic() < self._next_complaint:
            return
        self._next_complaint = time.monotonic() + 60
        said = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        name = type(self._authenticator).__name__
        _log.error("identify of %s has failed\n%s", name, said.replace(token, "..."))

    def identify(self, token: str) -> tuple[Any, ...]:
        """In the order of the C++ structure."""
        try:
            who = self._authenticator.identify(token)
        except ScistreamError:
            raise
        except Exception as error:
            self._complain(token, error)
            raise
        if not isinstance(who, Identity):
            raise TypeError(
                f"identify returned {type(who).__name__}, which is no scistream.Identity"
            )
        return (
            _word("issuer", who.issuer),
            _word("subject", who.subject),
            _word("name", who.name),
            _word("email", who.email),
            [_word("linked", each) for each in texts("linked", who.linked)],
            [_word("groups", each) for each in texts("groups", who.groups)],
            [_word("scopes", each) for each in texts("scopes", who.scopes)],
            who.expires,
        )
