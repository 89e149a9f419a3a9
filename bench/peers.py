"""Other programs that do the same, as fast as they are known to go here, and as deployed."""

from __future__ import annotations

import getpass
import os
import pwd
import secrets
import shutil
import socket
import subprocess
from pathlib import Path

import wire
from places import HOST, NOBODY, ROOT, Place, as_nobody, free_port
from stage import Stage

SUITE = "TLS_AES_128_GCM_SHA256"
UNPACKED = ROOT / "build/peers"  # by ./dev bench: packages that would start a service

HAPROXY = """
global
  nbthread 2
  maxconn 9000
  maxpipes 256
{tuning}
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
{defaults}
listen relay
  bind fd@{descriptor} {bind}
  server next {target} {server}
"""
SPLICE = "  option splice-request\n  option splice-response"
HAPROXY_SUITES = f"""
  ssl-default-bind-ciphersuites {SUITE}
  ssl-default-server-ciphersuites {SUITE}"""

NGINX = """
daemon off;
worker_processes auto;
pid {folder}/nginx-{port}.pid;
error_log stderr crit;
load_module {module};
events {{ worker_connections 18000; }}
stream {{
  server {{
    listen {host}:{port} {listen};
    proxy_pass {target};
    proxy_timeout 1h;
    {half_close}
    {rest}
  }}
}}
"""

STUNNEL = """
foreground = yes
syslog = no
debug = err
pid =
socket = l:TCP_NODELAY=1
socket = r:TCP_NODELAY=1
sessionResume = no
[relay]
accept = {accept}
connect = {target}
{rest}
"""

SSHD = """
ListenAddress {host}:{port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
StrictModes no
UsePAM yes
PidFile none
LogLevel ERROR
PasswordAuthentication no
KbdInteractiveAuthentication no
Ciphers {cipher}
"""
SSH_CIPHER = "aes128-gcm@openssh.com"


def program(name: str) -> str | None:
    """Where it is: also for users whose PATH leaves out the administrator's, and unpacked."""
    for place in (None, "/usr/sbin", str(UNPACKED / "usr/sbin"), str(UNPACKED / "usr/bin")):
        if found := shutil.which(name, path=place):
            return found
    return None


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


def until_it_serves(way: Place) -> Place:
    """Of those that say nothing when they listen: their port does."""
    host, port = wire.split_endpoint(way.endpoint)
    for _ in range(500):
        try:
            socket.create_connection((host, port), timeout=10).close()
        except ConnectionRefusedError:
            # Between two looks at a program that announces nothing.
            subprocess.run(["sleep", "0.01"], check=True)
        else:
            break
    return way


def haproxy(
    stage: Stage,
    folder: Path,
    target: str,
    name: str = "HAProxy",
    tuning: str = "",
    **parts: str,
) -> Place:
    """HAProxy on one leg."""
    # It takes over a socket that listens already, so there is nothing to wait for.
    with socket.create_server((HOST, 0), backlog=1024) as listener:
        descriptor = listener.fileno()
        endpoint = wire.join_endpoint(HOST, listener.getsockname()[1])
        configuration = folder / f"haproxy-{listener.getsockname()[1]}.cfg"
        parts = {"defaults": "", "bind": "", "server": "", **parts}
        text = HAPROXY.format(descriptor=descriptor, target=target, tuning=tuning, **parts)
        configuration.write_text(text, "ascii")
        running = stage.start(
            "haproxy",
            *(program("haproxy") or "haproxy", "-db", "-f", configuration),
            vital=True,
            pass_fds=(descriptor,),
        )
    return Place(name, endpoint, (running.pid,))


def nginx(
    stage: Stage, folder: Path, target: str, name: str, *, rest: str = "", listen: str = ""
) -> Place | None:
    """Nginx's stream module; None where it is not there."""
    binary = program("nginx")
    modules = [UNPACKED / "usr/lib/nginx/modules", Path("/usr/lib/nginx/modules")]
    module = next((m for m in (p / "ngx_stream_module.so" for p in modules) if m.exists()), None)
    if not binary or not module:
        return None
    port = free_port()
    configuration = folder / f"nginx-{port}.conf"
    values = {"folder": folder, "port": port, "module": module, "host": HOST, "target": target}
    # Else it drops what still comes back when one side has ended.
    values["half_close"] = "" if "udp" in listen else "proxy_half_close on;"
    configuration.write_text(NGINX.format(**values, rest=rest, listen=listen), "ascii")
    words = [binary, "-p", str(folder), "-c", str(configuration), "-e", "stderr"]
    running = stage.start("nginx", *words, vital=True)
    way = Place(name, f"{HOST}:{port}", (running.pid,))
    return way if "udp" in listen else until_it_serves(way)


def socat(stage: Stage, target: str) -> Place | None:
    """One process for each connection; None where it is not installed."""
    binary = program("socat")
    if not binary:
        return None
    port = free_port()
    listen = f"TCP-LISTEN:{port},bind={HOST},fork,reuseaddr,backlog=1024,nodelay"
    words = [binary, "-b", "262144", listen, f"TCP:{target},nodelay"]
    running = stage.start("socat", *words, vital=True)
    return until_it_serves(Place("socat", f"{HOST}:{port}", (running.pid,)))


def plain_relays(stage: Stage, target: str, folder: Path, *, deployed: bool) -> list[Place]:
    """Each peer that is there, tuned; and as deployed with SciStream 1.x."""
    ways: list[Place | None] = []
    if program("haproxy"):
        pipes = "  tune.pipesize 1048576"
        ways.append(haproxy(stage, folder, target, tuning=pipes, defaults=SPLICE))
        if deployed:
            small = "  tune.bufsize 100000"
            ways.append(haproxy(stage, folder, target, "HAProxy as deployed", small))
    ways.append(nginx(stage, folder, target, "nginx", rest="proxy_buffer_size 256k;"))
    if deployed:
        ways.append(nginx(stage, folder, target, "nginx as deployed"))
        ways.append(socat(stage, target))
    return [way for way in ways if way]


def chain(name: str, near: Place, far: Place) -> Place:
    """Two halves as one way; serves when it returns."""
    return until_it_serves(Place(name, near.endpoint, near.pids + far.pids))


def haproxy_chain(stage: Stage, target: str, folder: Path) -> Place:
    """TLS 1.3 between two of them."""
    # Buffers of 128 KiB carry several records each; more made it no faster.
    tuning = "  tune.bufsize 131072" + HAPROXY_SUITES
    bind = f"ssl crt {certificate(folder)} ssl-min-ver TLSv1.3"
    far = haproxy(stage, folder, target, tuning=tuning, bind=bind)
    server = "ssl verify none ssl-min-ver TLSv1.3 no-ssl-reuse"
    near = haproxy(stage, folder, far.endpoint, tuning=tuning, server=server)
    return chain("HAProxy TLS 1.3", near, far)


def stunnel_half(stage: Stage, folder: Path, target: str, rest: str) -> Place:
    """Stunnel with TLS on one side of it."""
    accept = f"{HOST}:{free_port()}"
    configuration = folder / f"stunnel-{accept.rpartition(':')[2]}.conf"
    configuration.write_text(STUNNEL.format(accept=accept, target=target, rest=rest), "ascii")
    running = stage.start("stunnel", program("stunnel") or "stunnel", configuration, vital=True)
    return until_it_serves(Place("stunnel", accept, (running.pid,)))


def stunnel_chain(stage: Stage, target: str, folder: Path) -> Place:
    """TLS 1.3 between two of them."""
    modern = f"sslVersion = TLSv1.3\nciphersuites = {SUITE}\n"
    far = stunnel_half(stage, folder, target, modern + f"cert = {certificate(folder)}\n")
    near = stunnel_half(stage, folder, far.endpoint, modern + "client = yes\n")
    return chain("stunnel TLS 1.3", near, far)


def deployed_stunnel_chain(stage: Stage, target: str, folder: Path) -> Place:
    """As with SciStream 1.x: it authenticates and does not encrypt."""
    keys = folder / "psk"
    keys.write_text(f"client1:{secrets.token_hex(16)}\n", "ascii")
    keys.chmod(0o600)
    deployed = "ciphers = PSK-NULL-SHA256:@SECLEVEL=0\nsecurityLevel = 0\n"
    deployed += f"sslVersion = TLSv1.2\nPSKsecrets = {keys}\n"
    far = stunnel_half(stage, folder, target, deployed)
    near = stunnel_half(stage, folder, far.endpoint, deployed + "client = yes\n")
    return chain("stunnel as deployed, no encryption", near, far)


def ssh_chain(stage: Stage, target: str, folder: Path) -> Place | None:
    """What scientists use without SciStream: one SSH connection that carries all of them."""
    server, client = program("sshd"), program("ssh")
    if not server or not client or not program("ssh-keygen"):
        return None
    place = folder / "ssh"
    place.mkdir()
    for name in ("host", "user"):
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(place / name)]
        subprocess.run(words, check=True, capture_output=True)
    port = free_port()
    text = SSHD.format(host=HOST, port=port, folder=place, cipher=SSH_CIPHER)
    (place / "sshd.conf").write_text(text, "ascii")
    user = getpass.getuser()
    prefix: list[str] = []
    if os.geteuid() == 0:
        # A server of root's wants folders and users that only an installation makes.
        user = NOBODY
        account = pwd.getpwnam(user)
        prefix = as_nobody()
        for path in (folder, place, *place.iterdir()):
            os.chown(path, account.pw_uid, account.pw_gid)
    words = [*prefix, server, "-D", "-e", "-f", str(place / "sshd.conf")]
    far = stage.start("sshd", *words)
    until_it_serves(Place("sshd", f"{HOST}:{port}"))
    listen = free_port()
    options = ["BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null"]
    options += [f"Ciphers={SSH_CIPHER}", "Compression=no", "LogLevel=ERROR", f"Port={port}"]
    options += ["ExitOnForwardFailure=yes", f"IdentityFile={place / 'user'}", "IdentitiesOnly=yes"]
    words = [*prefix, client, "-N", "-F", "none", *(f"-o{option}" for option in options)]
    words += ["-L", f"{HOST}:{listen}:{target}", f"{user}@{HOST}"]
    near = stage.start("ssh", *words)
    way = Place("ssh", f"{HOST}:{listen}", (near.pid,))
    way = chain("OpenSSH tunnel", way, Place("sshd", "", (far.pid,)))
    # A machine's own rules of who may log in are none of ours.
    return None if near.ended or far.ended else way


def encrypted_chains(stage: Stage, target: str, folder: Path, *, deployed: bool) -> list[Place]:
    """Client side and server side of each peer that is there."""
    ways: list[Place | None] = []
    if program("haproxy"):
        ways.append(haproxy_chain(stage, target, folder))
    if program("stunnel"):
        ways.append(stunnel_chain(stage, target, folder))
        if deployed:
            ways.append(deployed_stunnel_chain(stage, target, folder))
    ways.append(ssh_chain(stage, target, folder))
    return [way for way in ways if way]
