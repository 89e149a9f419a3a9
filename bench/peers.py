"""Other programs that do the same, as fast as they are known to go here."""

from __future__ import annotations

import secrets
import shutil
import socket
import subprocess
from pathlib import Path

import wire
from demo_facility import command
from places import HOST, Place, free_port
from stage import Stage

SUITE = "TLS_AES_128_GCM_SHA256"

# Buffers of 128 KiB carry several records each; more made it no faster.
HAPROXY_TLS = f"""
global
  nbthread 2
  maxconn 4000
  tune.bufsize 131072
  ssl-default-bind-ciphersuites {SUITE}
  ssl-default-server-ciphersuites {SUITE}
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
listen relay
  bind fd@{{descriptor}} {{bind}}
  server next {{target}} {{server}}
"""

STUNNEL = """
foreground = yes
syslog = no
debug = err
pid =
socket = l:TCP_NODELAY=1
socket = r:TCP_NODELAY=1
[relay]
accept = {accept}
connect = {target}
{rest}
"""


def certificate(folder: Path) -> Path:
    """A key and its certificate in one file."""
    path = folder / "peer.pem"
    if not path.exists():
        key = folder / "peer.key"
        words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        words += ["-nodes", "-subj", "/CN=bench", "-days", "2", "-keyout", str(key)]
        done = subprocess.run(words, check=True, capture_output=True, text=True)
        path.write_text(done.stdout + key.read_text("ascii"), "ascii")
        path.chmod(0o600)
    return path


def program(name: str) -> str | None:
    """Where it is installed, also for users whose PATH leaves out the administrator's."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin")


def haproxy_half(stage: Stage, folder: Path, target: str, bind: str, server: str) -> Place:
    """HAProxy with TLS on one side of it."""
    # It takes over a socket that listens already, so there is nothing to wait for.
    with socket.create_server((HOST, 0), backlog=1024) as listener:
        descriptor = listener.fileno()
        endpoint = wire.join_endpoint(HOST, listener.getsockname()[1])
        configuration = folder / f"haproxy-{listener.getsockname()[1]}.cfg"
        text = HAPROXY_TLS.format(descriptor=descriptor, target=target, bind=bind, server=server)
        configuration.write_text(text, "ascii")
        running = stage.start(
            "haproxy",
            *(program("haproxy") or "haproxy", "-db", "-f", configuration),
            vital=True,
            pass_fds=(descriptor,),
        )
    return Place("HAProxy", endpoint, (running.pid,))


def stunnel_half(stage: Stage, folder: Path, target: str, rest: str) -> Place:
    """Stunnel with TLS on one side of it."""
    accept = f"{HOST}:{free_port()}"
    configuration = folder / f"stunnel-{accept.rpartition(':')[2]}.conf"
    configuration.write_text(STUNNEL.format(accept=accept, target=target, rest=rest), "ascii")
    running = stage.start("stunnel", program("stunnel") or "stunnel", configuration, vital=True)
    return Place("stunnel", accept, (running.pid,))


def chain(name: str, near: Place, far: Place) -> Place:
    """Two halves as one way; serves when it returns."""
    way = Place(name, near.endpoint, near.pids + far.pids)
    drive_until_it_serves(way)
    return way


def drive_until_it_serves(way: Place) -> None:
    """Stunnel says nothing when it listens: its port does."""
    host, port = wire.split_endpoint(way.endpoint)
    for _ in range(500):
        try:
            socket.create_connection((host, port), timeout=10).close()
            return
        except ConnectionRefusedError:
            # Between two looks at a program that announces nothing.
            subprocess.run(["sleep", "0.01"], check=True)


def encrypted_chains(stage: Stage, target: str, folder: Path) -> list[Place]:
    """Client side and server side of each peer that is installed."""
    ways = []
    pem = certificate(folder)
    if program("haproxy"):
        bind = f"ssl crt {pem} ssl-min-ver TLSv1.3"
        far = haproxy_half(stage, folder, target, bind, "")
        near = haproxy_half(stage, folder, far.endpoint, "", "ssl verify none ssl-min-ver TLSv1.3")
        ways.append(chain("HAProxy TLS 1.3", near, far))
    if program("stunnel"):
        modern = f"sslVersion = TLSv1.3\nciphersuites = {SUITE}\n"
        far = stunnel_half(stage, folder, target, modern + f"cert = {pem}\n")
        drive_until_it_serves(far)
        near = stunnel_half(stage, folder, far.endpoint, modern + "client = yes\n")
        ways.append(chain("stunnel TLS 1.3", near, far))
        # As deployed with SciStream 1.x: it authenticates and does not encrypt.
        keys = folder / "psk"
        keys.write_text(f"client1:{secrets.token_hex(16)}\n", "ascii")
        keys.chmod(0o600)
        deployed = "ciphers = PSK-NULL-SHA256:@SECLEVEL=0\nsecurityLevel = 0\n"
        deployed += f"sslVersion = TLSv1.2\nPSKsecrets = {keys}\n"
        far = stunnel_half(stage, folder, target, deployed)
        drive_until_it_serves(far)
        near = stunnel_half(stage, folder, far.endpoint, deployed + "client = yes\n")
        ways.append(chain("stunnel as deployed, no encryption", near, far))
    return ways


def our_chain(stage: Stage, target: str, folder: Path, *flags: str) -> Place:
    """Two relays of ours with a key between them."""
    key = folder / "shared.key"
    key.write_text(secrets.token_hex(32), "ascii")
    key.chmod(0o600)

    def half(towards: str, to: str) -> Place:
        words = ["relay", "--listen", f"{HOST}:0", "--target", to, "--tls", towards, *flags]
        running = stage.start("s2ds relay", command("s2ds"), *words, "--key-file", key, vital=True)
        return Place("half", stage.line(running, "s2ds ready on ", 10), (running.pid,))

    far = half("server", target)
    return chain("SciStream", half("client", far.endpoint), far)
