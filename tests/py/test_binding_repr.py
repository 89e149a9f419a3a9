"""Nothing shows a secret, and what is alive is not copied."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import scistream
from binding import Facilities, facilities


def everything(both: Facilities, session: scistream.Session) -> list[object]:
    key = session.app_key("PROD")
    return [
        both.prod,
        both.client,
        session,
        scistream.AppController(
            session.uid, both.cons.endpoint, role="CONS", key=key, roots=both.roots, token="hush"
        ),
        scistream.Relay([("127.0.0.1:0", "127.0.0.1:9")]),
    ]


# Protocol: app-key-each, keys-not-shown
def test_repr_has_no_key_and_live_objects_do_not_pickle(tmp_path: Path) -> None:
    with (
        facilities(tmp_path) as both,
        both.client.request(
            both.prod.endpoint, both.cons.endpoint, prod_app=["127.0.0.1:9"]
        ) as session,
    ):
        keys = [session.app_key(role) for role in ("PROD", "CONS")]
        assert {len(key) for key in keys} == {32}
        assert keys[0] != keys[1]
        for live in everything(both, session):
            shown = repr(live) + str(live) + str(vars(live))
            assert shown.startswith(f"<scistream.{type(live).__name__} ")
            assert "hush" not in shown
            assert not any(key.hex() in shown or repr(key) in shown for key in keys)
            for copied in (pickle.dumps, copy.copy, copy.deepcopy):
                with pytest.raises(TypeError, match="live"):
                    copied(live)
            core = vars(live)["_core"]
            with pytest.raises(TypeError):
                pickle.dumps(core)
            if isinstance(live, (scistream.AppController, scistream.Relay)):
                live.close()


def test_values_are_compared_copied_and_pickled(tmp_path: Path) -> None:
    with (
        facilities(tmp_path) as both,
        scistream.Relay([("127.0.0.1:0", "127.0.0.1:9")]) as relay,
        both.client.request(
            both.prod.endpoint, both.cons.endpoint, prod_app=["127.0.0.1:9"]
        ) as session,
    ):
        for value in (
            session.states,
            session.status(),
            both.client.info(both.prod.endpoint),
            relay.stats(),
        ):
            assert pickle.loads(pickle.dumps(value)) == value == copy.deepcopy(value)


def test_a_status_cannot_be_changed() -> None:
    labels = {"job": "a", "experiment": "b"}
    with (
        scistream.LocalFacilities() as both,
        both.request(prod_app=["127.0.0.1:9"], labels=labels) as session,
    ):
        status = session.status()[0]
    assert status.labels == labels
    refused: list[Callable[[Any], object]] = [
        lambda labels: labels.__setitem__("job", "c"),
        lambda labels: labels.__delitem__("job"),
        lambda labels: labels.__ior__({"job": "c"}),
        lambda labels: labels.update(job="c"),
        lambda labels: labels.setdefault("other", "c"),
        lambda labels: labels.pop("job"),
        lambda labels: labels.popitem(),
        lambda labels: labels.clear(),
    ]
    for change in refused:
        with pytest.raises(TypeError, match="cannot be changed"):
            change(status.labels)
    for again in (pickle.loads(pickle.dumps(status)), copy.deepcopy(status), copy.copy(status)):
        assert (again, hash(again)) == (status, hash(status))
        assert type(again.labels) is type(status.labels)
    assert {status: 1}[dataclasses.replace(status)] == 1
    shown = json.loads(json.dumps(dataclasses.asdict(status)))
    assert shown["labels"] == labels
    assert status.targets == ("127.0.0.1:9",)
    for place in (*status.listeners, *status.targets):
        assert isinstance(place, scistream.Endpoint)
    said: Any = ("nowhere", "127.0.0.1:9")
    odd = dataclasses.replace(status, targets=said)
    assert [type(each) for each in odd.targets] == [str, scistream.Endpoint]


def test_a_key_that_cannot_be_read_is_not_repeated(tmp_path: Path) -> None:
    for key in ("not hexadecimal", b"too short"):
        with pytest.raises(scistream.InvalidRequest) as raised:
            scistream.AppController(
                "an-id", "127.0.0.1:1", role="CONS", key=key, roots="x", state_dir=tmp_path
            )
        assert key[3:] not in (raised.value.details, raised.value.details.encode())
        assert "hexadecimal'" not in raised.value.details
