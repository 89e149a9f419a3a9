"""What moves much at once: files of HDF5, curl both ways, and iperf3 in both directions."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import h5py  # type: ignore[import-untyped]
import numpy
import pytest

from applications import digest, payload
from conftest import Pair
from facility import LIMIT, Command, free_port, run, split
from real_applications import through

CURL = ("curl", "--silent", "--show-error", "--fail", "--noproxy", "*")


def write_scan(file: Path, seed: int) -> None:
    """As a detector's file writer leaves one: compressed chunks, metadata, and links to both."""
    random = numpy.random.default_rng(seed)
    with h5py.File(file, "w") as scan:
        frames = random.poisson(3.0, size=(20, 256, 256)).astype(numpy.uint16)
        data = scan.create_dataset(
            "entry/data", data=frames, chunks=(1, 256, 256), compression="gzip", fletcher32=True
        )
        data.attrs["exposure_s"] = random.uniform(size=20)
        scan["entry/motor"] = random.normal(size=1000)
        scan["entry/latest"] = h5py.SoftLink("/entry/data")


def test_hdf5_files_arrive_whole_by_a_parallel_download(pair: Pair, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    names = [f"scan-{number}.h5" for number in range(4)]
    for folder in (here, there):
        folder.mkdir()
    for number, name in enumerate(names):
        write_scan(here / name, number)
    serve = ("python3", "-u", "-m", "http.server", "--bind", "127.0.0.1", "0")
    with Command(*serve, cwd=here) as server:
        port = server.line(r"port (\d+)")[1]
        with through(pair, f"127.0.0.1:{port}") as way:
            urls = [f"http://{way.address}/{name}" for name in names]
            done = run(*CURL, "--parallel", "--remote-name-all", *urls, cwd=there)
            assert done.rc == 0, done.err
            way.carried(to_consumer=sum((here / name).stat().st_size for name in names))
    for name in names:
        assert digest((there / name).read_bytes()) == digest((here / name).read_bytes())
        with h5py.File(here / name) as sent, h5py.File(there / name) as got:
            assert numpy.array_equal(got["entry/latest"], sent["entry/data"])
            assert numpy.array_equal(got["entry/motor"], sent["entry/motor"])
            exposures = [scan["entry/data"].attrs["exposure_s"] for scan in (sent, got)]
            assert numpy.array_equal(*exposures)


class Inbox(http.server.BaseHTTPRequestHandler):
    """Keeps what is uploaded, and answers with its hash; curl asks first for what is large."""

    protocol_version = "HTTP/1.1"
    kept: dict[str, bytes]

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.kept[self.path] = body
        answer = digest(body).encode()
        self.send_response(201)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Not to stderr."""


@pytest.fixture
def inbox() -> Iterator[tuple[str, dict[str, bytes]]]:
    """Where a web server listens that takes uploads, and those that it has by their paths."""
    kept: dict[str, bytes] = {}
    handler = type("Kept", (Inbox,), {"kept": kept})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}", kept
        server.shutdown()
        thread.join(LIMIT)


def test_curl_uploads_large_files_and_empty_ones(
    pair: Pair, tmp_path: Path, inbox: tuple[str, dict[str, bytes]]
) -> None:
    """Towards the side that listens, each file on the connection of the one before."""
    app, kept = inbox
    files = {f"/{size}": payload(size) for size in (0, 1, 70_000, 9_000_000)}
    for name, data in files.items():
        (tmp_path / name[1:]).write_bytes(data)
    with through(pair, app) as way:
        put = [word for name in files for word in ("--upload-file", name[1:])]
        urls = [f"http://{way.address}{name}" for name in files]
        done = run(*CURL, "--write-out", "\n", *put, *urls, cwd=tmp_path)
        assert done.rc == 0, done.err
        assert done.out.split() == [digest(data) for data in files.values()]
        way.carried(to_producer=sum(map(len, files.values())))
        assert way.connections() == [1] * 2
    assert kept == files


def test_iperf3_sends_and_receives_at_once(pair: Pair) -> None:
    port = free_port()
    serve = ("iperf3", "--server", "--one-off", "--bind", "127.0.0.1", "--port", port)
    with Command(*serve, "--forceflush") as server:
        server.line("Server listening")
        with through(pair, f"127.0.0.1:{port}") as way:
            host, listener = split(way.address)
            ask = ("iperf3", "--client", host, "--port", listener, "--bidir", "--json")
            done = run(*ask, "--parallel", 2, "--time", 2)
            assert done.rc == 0, done.out
            assert server.wait() == 0
            end = done.json["end"]
            forth = end["sum_received"]["bytes"]
            back = end["sum_received_bidir_reverse"]["bytes"]
            assert min(forth, back) > 1 << 20
            way.carried(to_producer=forth, to_consumer=back)
            assert way.connections() == [5] * 2, "two each way, and one to control them"
