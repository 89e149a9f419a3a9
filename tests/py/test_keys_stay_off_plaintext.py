"""An application key crosses a plaintext control channel on this machine only."""

from __future__ import annotations

import sys
from pathlib import Path

from facility import BIN
from outside import ADDRESS, needs_root, outside

# A req with an application key, whoever its client may be: field 106, 32 bytes.
REQUEST_WITH_A_KEY = r"""
import sys
import grpc

channel = grpc.insecure_channel(sys.argv[1])
call = channel.unary_unary("/scistream.Control/req")
message = b"\x0a\x05keyed" + b"\x12\x04PROD" + b"\x18\x01" + b"\xd2\x06\x20" + bytes(32)
try:
    call(message, timeout=1)
except grpc.RpcError as refused:
    print(refused.code().name, refused.details())
"""


# Protocol: keys-plaintext-server
@needs_root
def test_a_control_server_refuses_one_from_elsewhere(tmp_path: Path) -> None:
    with (
        outside(tmp_path) as place,
        place.control_server("--listener_ip", "0.0.0.0", "--ssl=False") as (_, endpoint),
    ):
        port = endpoint.rsplit(":", 1)[1]
        script = [sys.executable, "-c", REQUEST_WITH_A_KEY]
        done = place.run(*script, f"{ADDRESS}:{port}")
        assert done.out.startswith("FAILED_PRECONDITION a key may not cross"), done.out + done.err
        done = place.run(*script, f"127.0.0.1:{port}")
        assert done.out.startswith("DEADLINE_EXCEEDED"), "on this machine it waits for its hello"


# Protocol: keys-plaintext-client
@needs_root
def test_a_client_makes_none_for_a_facility_elsewhere(tmp_path: Path) -> None:
    with (
        outside(tmp_path) as place,
        place.control_server("--listener_ip", "0.0.0.0", "--ssl=False") as (_, endpoint),
    ):
        port = endpoint.rsplit(":", 1)[1]
        near, far = f"127.0.0.1:{port}", f"{ADDRESS}:{port}"
        for prod, cons, made in ((near, near, True), (near, far, False), (far, near, False)):
            state = tmp_path / f"{prod}-{cons}"
            done = place.run(
                *(BIN / "s2uc", "request", "--json", "--ssl=False", "--state-dir", state),
                *("--prod", prod, "--cons", cons, "--prod-app", "127.0.0.1:9"),
                *("--transport", "auto" if made else "tcp"),
            )
            assert done.rc == 0, done.err
            assert ("prod_key_file" in done.json) == made
            assert (state / "keys").exists() == made
            assert made or "no application keys over plaintext" in done.err
