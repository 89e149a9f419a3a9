"""Others can implement the format of arrays from its documentation."""

from __future__ import annotations

import json
import pydoc
import re
import struct
import subprocess
from pathlib import Path
from typing import IO, Any

import numpy as np

from facility import LIMIT
from frames import END, joined, receiver, same
from scistream import arrays


def read(stream: IO[bytes]) -> tuple[int, Any, bytes]:
    """A frame, by somebody who has only read the documentation."""
    magic, version, kind, header, payload = struct.unpack("<4sBBHQ", stream.read(16))
    assert (magic, version) == (b"\x93SCA", 1)
    return kind, json.loads(stream.read(header) or b"{}"), stream.read(payload)


def test_what_is_sent_is_what_is_documented() -> None:
    sent: Any = np.array([(1, -2.0), (3, 0.5)], np.dtype([("n", "<u2"), ("x", ">f4")], align=True))
    image = np.arange(6, dtype=">i2").reshape(2, 3)
    with joined() as (one, other):
        one.send(sent, meta={"run": 7})
        one.send(image.T)
        one.send(b"bytes")
        one.end()
        raw = other._line.socket
        raw.settimeout(LIMIT)
        with raw.makefile("rb") as stream:
            dtype = [["n", "<u2"], ["", "|V2"], ["x", ">f4"]]
            header = {"dtype": dtype, "shape": [2], "meta": {"run": 7}}
            assert read(stream) == (2, header, sent.tobytes())
            assert read(stream) == (2, {"dtype": ">i2", "shape": [3, 2]}, image.T.tobytes())
            assert read(stream) == (1, {}, b"bytes")
            assert stream.read() == END
    assert END.hex(" ") in " ".join((arrays.__doc__ or "").split())


def test_help_shows_the_format_as_plain_text() -> None:
    shown = pydoc.plain(pydoc.render_doc(arrays))
    assert "===" not in shown, "a table for another reader"
    rows = re.findall(r"^ +([\dH+]+) +(\d+|H|P) +\S", shown, re.M)
    sizes = [struct.calcsize(f"<{each}") for each in ("4s", "B", "B", "H", "Q")]
    places = [sum(sizes[:n]) for n in range(len(sizes))]
    fixed = [(str(place), str(size)) for place, size in zip(places, sizes)]
    assert rows == [*fixed, ("16", "H"), ("16+H", "P")]


C = r"""
#include <stdint.h>
#include <stdio.h>
#include <string.h>
int main(void) {  /* 3 frames of 2 x 4 doubles and the end, on a little-endian machine */
  double image[2][4];
  for (int n = 0; n < 3; n++) {
    char header[128];
    uint16_t h = (uint16_t)snprintf(header, sizeof header,
      "{\"dtype\": \"<f8\", \"shape\": [2, 4], \"meta\": {\"frame\": %d}}     ", n);
    uint64_t p = sizeof image;
    for (int i = 0; i < 8; i++) image[i / 4][i % 4] = n + i / 10.0;
    fwrite("\x93SCA\1\2", 1, 6, stdout);
    fwrite(&h, 2, 1, stdout);
    fwrite(&p, 8, 1, stdout);
    fwrite(header, 1, h, stdout);
    fwrite(image, 1, p, stdout);
  }
  fwrite("\x93SCA\1\0\0\0\0\0\0\0\0\0\0\0", 1, 16, stdout);
  return 0;
}
"""


def test_a_program_in_c_can_send(tmp_path: Path) -> None:
    program = tmp_path / "daq"
    subprocess.run(["cc", "-o", program, "-x", "c", "-"], input=C, text=True, check=True)
    with receiver() as (speaker, hearer):
        subprocess.run([program], stdout=speaker.fileno(), check=True)
        got = list(hearer.frames())
    assert [message.meta for message in got] == [{"frame": n} for n in range(3)]
    for n, message in enumerate(got):
        assert same(message.data, n + np.arange(8.0).reshape(2, 4) / 10)
