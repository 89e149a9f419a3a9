"""A camera's MJPEG stream is watched at another facility while it is made."""

from __future__ import annotations

import contextlib
import email.message
import email.parser
import http.server
import io
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from PIL import Image, ImageDraw

from applications import digest
from conftest import Pair
from facility import LIMIT, run
from real_applications import through

FRAMES = 60
SIZE = (640, 480)
BOUNDARY = "frame"

Show = Callable[[int], None]


def pictures() -> list[bytes]:
    """Frames that show their numbers, with noise enough to be as large as a camera's."""
    night = Image.effect_noise(SIZE, 40)
    frames = []
    for number in range(FRAMES):
        image, file = night.copy(), io.BytesIO()
        ImageDraw.Draw(image).text((20, 20), f"frame {number}", fill=255)
        image.save(file, "JPEG", quality=90)
        frames.append(file.getvalue())
    return frames


def part(number: int, frame: bytes) -> bytes:
    head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nX-Frame: {number}\r\n"
    return f"{head}Content-Length: {len(frame)}\r\n\r\n".encode() + frame + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()


@contextlib.contextmanager
def camera(frames: list[bytes], before: Show = lambda number: None) -> Iterator[str]:
    """Where a camera serves its stream to whoever asks; `before` is called before each frame."""

    class Stream(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            kind = f"multipart/x-mixed-replace; boundary={BOUNDARY}"
            self.send_header("Content-Type", kind)
            self.end_headers()
            for number, frame in enumerate(frames):
                before(number)
                self.wfile.write(part(number, frame))
            self.wfile.write(END)

        def log_message(self, *_: object) -> None:
            """Not to stderr."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stream) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join(LIMIT)


def parts(stream: BinaryIO) -> Iterator[tuple[email.message.Message, bytes]]:
    """What a reader of such a stream does."""
    while (line := stream.readline()) != END:
        assert line == f"--{BOUNDARY}\r\n".encode(), line
        lines = iter(stream.readline, b"\r\n")
        head = email.parser.BytesParser().parsebytes(b"".join(lines))
        yield head, stream.read(int(head["Content-Length"]))
        assert stream.read(2) == b"\r\n"


def test_each_frame_is_seen_before_the_next_is_made(pair: Pair) -> None:
    """No gateway holds back the end of a frame until more comes."""
    frames = pictures()
    seen = [threading.Event() for _ in frames]
    late = []

    def wait_for_viewer(number: int) -> None:
        if number and not seen[number - 1].wait(LIMIT):
            late.append(number - 1)

    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with camera(frames, wait_for_viewer) as app, through(pair, app) as way:
        with direct.open(f"http://{way.address}/", timeout=LIMIT) as response:
            for number, (head, frame) in enumerate(parts(response)):
                assert head["X-Frame"] == str(number)
                assert digest(frame) == digest(frames[number])
                with Image.open(io.BytesIO(frame)) as image:
                    image.load()
                    assert image.size == SIZE
                seen[number].set()
        assert late == []
        assert all(event.is_set() for event in seen)
        way.carried(to_consumer=sum(map(len, frames)))


def test_several_viewers_record_the_same_stream(pair: Pair, tmp_path: Path) -> None:
    frames = pictures()
    stream = b"".join(part(number, frame) for number, frame in enumerate(frames)) + END
    with camera(frames) as app, through(pair, app) as way:
        files = [f"viewer-{number}" for number in range(4)]
        words = [word for file in files for word in ("--output", file, f"http://{way.address}/")]
        curl = ("curl", "--silent", "--show-error", "--fail", "--noproxy", "*", "--parallel")
        done = run(*curl, "--parallel-immediate", *words, cwd=tmp_path)
        assert done.rc == 0, done.err
        way.carried(to_consumer=len(files) * len(stream))
        assert way.connections() == [len(files)] * 2
    for file in files:
        assert digest((tmp_path / file).read_bytes()) == digest(stream)
