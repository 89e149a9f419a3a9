"""The Python of the README and of docs/python.md works as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from applications import Application
from binding import python
from conftest import Pair
from guides import of_language


def examples(page: str) -> list[str]:
    text = (Path(__file__).parents[2] / page).read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, "b'a frame'\n7 bytes, encrypted by tls\n"),
        (1, "still there: "),
        (2, "data from ('127.0.0.1:9000',) is to be had at ('127."),
        (3, "state at "),
        (4, "set up in "),
        (5, "exhausted True "),
        (6, "[('uint16', (4, 8), 0), ('uint16', (4, 8), 1), ('uint16', (4, 8), 2)]"),
        (7, "drawn: "),
    ],
)
def test_every_example_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, said: str
) -> None:
    monkeypatch.setenv("SCISTREAM_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("MPLBACKEND", "Agg")
    assert python(examples("docs/python.md")[number]).startswith(said)
    assert len(examples("docs/python.md")) == 8


def test_the_example_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCISTREAM_STATE_DIR", str(tmp_path))
    (example,) = examples("README.md")
    assert python(example).startswith("the consumer application connects to ('127.0.2.1:")


def test_a_session_between_real_facilities(pair: Pair, echo_app: Application) -> None:
    """The lines without a language: they are part of a program, and name other facilities."""
    (lines,) = of_language("python", "")
    known = {
        "facilities.pem": pair.user.env["SCISTREAM_SERVER_CERT"],
        "gw1.example.org:5000": pair.prod.endpoint,
        "gw2.example.org:5000": pair.cons.endpoint,
        "daq.example.org:9000": echo_app.endpoint,
    }
    for name, word in known.items():
        assert f'"{name}"' in lines
        lines = lines.replace(name, word)
    script = f"import scistream\n{lines}print(session.status()[0].rate)\nsession.release()\n"
    assert python(script) == "2000\n"
