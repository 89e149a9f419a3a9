"""`s2cs` starts the `s2ds` beside it: at once or not at all, and never waits for its output."""

from __future__ import annotations

import shutil
from pathlib import Path

from deployed_peer import Peer
from facility import BIN, LIMIT, Facility, clean_environment, own_address, run

PIPE = 64 << 10  # bytes that a pipe holds which nobody reads


# Protocol: data-server-missing
def test_a_missing_program_is_noticed_at_the_start(tmp_path: Path) -> None:
    alone = tmp_path / "bin"
    alone.mkdir()
    done = run(
        shutil.copy(BIN / "s2cs", alone),
        *("--port", 0, "--listener_ip", own_address(), "--state-dir", tmp_path / "state"),
        cwd=tmp_path,
        env={**clean_environment(tmp_path), "PATH": str(alone)},
    )
    assert done.rc == 7, done.err
    assert done.out == "", "it has not said that it is ready"
    assert "s2ds" in done.err


# Protocol: data-server-log
def test_its_output_goes_to_a_file_and_blocks_nobody(tmp_path: Path) -> None:
    with (
        Facility(tmp_path, "--verbose") as facility,
        Peer(facility.endpoint, facility.certificate) as peer,
    ):
        log = facility.state / "s2ds.log"
        rounds = 0
        while log.stat().st_size < 2 * PIPE:
            uid = f"round-{rounds}"
            request = peer.req(uid, "PROD", 8)
            peer.hello(uid, "PROD", ["127.0.0.1:9"])
            assert len(request.result(LIMIT).listeners) == 8
            peer.update(uid, ["127.0.0.1:9"])
            peer.release(uid)
            rounds += 1
            assert rounds < 2_000, "each of them is in the log"


def test_what_is_set_for_a_data_server_elsewhere_does_not_move_it(tmp_path: Path) -> None:
    """One environment file may serve both programs of a machine."""
    settings = {"SCISTREAM_LISTEN": "127.0.0.1:0", "SCISTREAM_CA": str(tmp_path / "ca.crt")}
    with Facility(tmp_path, env=settings) as facility:
        assert (facility.state / "s2ds.sock").is_socket()
