"""`--req-file`: what scripts in the field write, REQ and REL."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from applications import Application, echo
from conftest import Pair
from facility import Client


def write(folder: Path, document: Any) -> Path:
    path = folder / "request.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


# Protocol: req-file-req, req-file-rel, request-states
@pytest.mark.parametrize("command", [[], ["request"]], ids=["s2uc", "s2uc request"])
@pytest.mark.parametrize("flag", ["--req-file", "--req_file"])
def test_a_session_is_requested_and_released(
    pair: Pair, echo_app: Application, tmp_path: Path, command: list[str], flag: str
) -> None:
    places = {"prod": pair.prod.endpoint, "cons": pair.cons.endpoint}
    request = {"cmd": "REQ", "num_conn": 5, "rate": 10000, "prod_app": echo_app.endpoint}
    done = pair.user.s2uc(*command, flag, write(tmp_path, {**request, **places}))
    assert done.rc == 0, done.err
    assert re.findall(r"^Current state: (\w+)$", done.out, re.MULTILINE) == [
        "reserving",
        "provisioning",
        "updating",
        "idle",
    ]
    found = re.search(r"^uid (\S+)$", done.out, re.MULTILINE)
    assert found
    listeners = re.findall(r"^  (\S+:\d+)$", done.out, re.MULTILINE)
    assert [echo(listener) for listener in listeners] == [b"ping"] * 5
    release = {"cmd": "REL", "uid": found[1], **places}
    done = pair.user.s2uc(*command, f"{flag}={write(tmp_path, release)}")
    assert (done.rc, done.out) == (0, "Release completed\n"), done.err


def test_with_json_the_documents_are_the_same(
    pair: Pair, echo_app: Application, tmp_path: Path
) -> None:
    places = {"prod": pair.prod.endpoint, "cons": pair.cons.endpoint}
    request = {"cmd": "REQ", "uid": "from-a-file", "num_conn": 2, **places}
    done = pair.user.s2uc(
        *("request", "--json", "--req-file", write(tmp_path, request)),
        *("--prod-app", echo_app.endpoint),
    )
    assert done.rc == 0, done.err
    assert done.json["uid"] == "from-a-file"
    assert len(done.json["listeners"]) == 2
    release = {"cmd": "REL", "uid": "from-a-file"}
    done = pair.user.s2uc("request", "--json", "--req-file", write(tmp_path, release))
    assert done.json == {"uid": "from-a-file", "released": True}


@pytest.mark.parametrize(
    "document",
    [
        "",
        "not json",
        "[]",
        {"cmd": "NONSENSE"},
        {"cmd": "REQ"},
        {"cmd": "REL"},
        {"cmd": "REQ", "prod": "127.0.0.1:1", "cons": "127.0.0.1:2", "num_conn": "many"},
        {"cmd": "REQ", "prod": 5, "cons": "127.0.0.1:2"},
        {"cmd": "REQ", "prod": "127.0.0.1:1", "cons": "127.0.0.1:2", "num_conn": 0},
        {"cmd": "REL", "uid": "two words", "prod": "127.0.0.1:1"},
        {"cmd": 7},
    ],
    ids=str,
)
def test_a_bad_file_is_a_usage_error(tmp_path: Path, document: Any) -> None:
    done = Client(tmp_path).s2uc("--req-file", write(tmp_path, document))
    assert done.rc == 2, done.err
    assert done.out == ""


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    done = Client(tmp_path).s2uc("--req-file", tmp_path / "none.json")
    assert done.rc == 7, done.err
    assert "none.json" in done.err
