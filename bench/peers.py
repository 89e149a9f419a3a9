"""Other programs that do the same, as fast as they are known to go here, and as deployed."""

from __future__ import annotations

import getpass
import os
import pwd
import re
import secrets
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import wire
from demo_facility import listening
from stage import Program, Stage
from ways import HOST, NOBODY, ROOT, Way, as_nobody, free_port, may_become_nobody

SUITE = "TLS_AES_128_GCM_SHA256"
UNPACKED = ROOT / "build/peers"  # by ./dev bench: packages that would start a service

HAPROXY = """
global
  nbthread {threads}
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
  bind {listen} {bind}
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
Subsystem sftp internal-sftp
"""
SSH_CIPHER = "aes128-gcm@openssh.com"


class NotHere(Exception):  # noqa: N818  # reads as what is wrong
    """A peer that cannot be measured on this machine; the message says which, and why."""


def program(name: str) -> str:
    """Where it is: also for users whose PATH leaves out the administrator's, and unpacked."""
    for place in (None, "/usr/sbin", str(UNPACKED / "usr/sbin"), str(UNPACKED / "usr/bin")):
        if found := shutil.which(name, path=place):
            return found
    raise NotHere(f"{name} is not installed")


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


def until_it_listens(stage: Stage, way: Way, running: Program, protocol: str = "tcp") -> Way:
    """Of those that say nothing when they do."""
    place = wire.split_endpoint(way.endpoint)
    what = f"{way.name} at {way.endpoint}"
    stage.until(lambda: place in listening(protocol) or running.ended, 10, what, every=0.01)
    if running.ended:
        # A machine's own rules, such as who may log in, are none of ours.
        raise NotHere(running.complaint())
    return way


def haproxy(
    stage: Stage,
    folder: Path,
    target: str,
    name: str = "HAProxy",
    tuning: str = "",
    **parts: str,
) -> Way:
    """HAProxy on one leg."""
    port = free_port()
    configuration = folder / f"haproxy-{port}.cfg"
    values = {"defaults": "", "bind": "", "server": "", **parts}
    values |= {"listen": f"{HOST}:{port}", "target": target, "tuning": tuning}
    text = HAPROXY.format(threads=len(os.sched_getaffinity(0)), **values)
    configuration.write_text(text, "ascii")
    running = stage.start("haproxy", program("haproxy"), "-db", "-f", configuration, vital=True)
    return until_it_listens(stage, Way(name, f"{HOST}:{port}", (running.pid,)), running)


def nginx(
    stage: Stage, folder: Path, target: str, name: str, *, rest: str = "", listen: str = ""
) -> tuple[Way, Program]:
    """Nginx's stream module, which may not serve yet."""
    binary = program("nginx")
    modules = [UNPACKED / "usr/lib/nginx/modules", Path("/usr/lib/nginx/modules")]
    module = next((m for m in (p / "ngx_stream_module.so" for p in modules) if m.exists()), None)
    if not module:
        raise NotHere("nginx has no stream module here")
    port = free_port()
    configuration = folder / f"nginx-{port}.conf"
    values = {"folder": folder, "port": port, "module": module, "host": HOST, "target": target}
    configuration.write_text(NGINX.format(**values, rest=rest, listen=listen), "ascii")
    words = [binary, "-p", str(folder), "-c", str(configuration), "-e", "stderr"]
    running = stage.start("nginx", *words, vital=True)
    return Way(name, f"{HOST}:{port}", (running.pid,)), running


def nginx_for_streams(stage: Stage, folder: Path, target: str, name: str, tuning: str = "") -> Way:
    """Nginx between two connections."""
    # Without half-close it drops what still comes back when one side has ended.
    rest = f"proxy_half_close on; {tuning}"
    way, running = nginx(stage, folder, target, name, rest=rest)
    return until_it_listens(stage, way, running)


def nginx_for_datagrams(stage: Stage, folder: Path, target: str) -> Way:
    """Nginx between datagrams, with as much room for them as ours."""
    listen = "udp reuseport rcvbuf=4m sndbuf=4m"
    way, running = nginx(stage, folder, target, "nginx", listen=listen)
    return until_it_listens(stage, way, running, "udp")


def socat(stage: Stage, target: str) -> Way:
    """One process for each connection."""
    port = free_port()
    listen = f"TCP-LISTEN:{port},bind={HOST},fork,reuseaddr,backlog=1024,nodelay"
    words = [program("socat"), "-b", "262144", listen, f"TCP:{target},nodelay"]
    running = stage.start("socat", *words, vital=True)
    return until_it_listens(stage, Way("socat", f"{HOST}:{port}", (running.pid,)), running)


def plain_relays(
    stage: Stage, target: str, folder: Path, *, deployed: bool
) -> list[Callable[[], Way]]:
    """What starts each peer, tuned; and as deployed with SciStream 1.x. NotHere if it is not."""
    pipes = "  tune.pipesize 1048576"
    tuned = [
        lambda: haproxy(stage, folder, target, tuning=pipes, defaults=SPLICE),
        lambda: nginx_for_streams(stage, folder, target, "nginx", "proxy_buffer_size 256k;"),
        lambda: socat(stage, target),
    ]
    if not deployed:
        return tuned
    small = "  tune.bufsize 100000"
    return [
        *tuned,
        lambda: haproxy(stage, folder, target, "HAProxy as deployed", small),
        lambda: nginx_for_streams(stage, folder, target, "nginx as deployed"),
    ]


def chain(name: str, near: Way, far: Way) -> Way:
    """Two halves as one way."""
    return Way(name, near.endpoint, near.near, far.near)


def haproxy_chain(stage: Stage, target: str, folder: Path) -> Way:
    """TLS 1.3 between two of them."""
    # Buffers of 128 KiB carry several records each; more made it no faster.
    tuning = "  tune.bufsize 131072" + HAPROXY_SUITES
    bind = f"ssl crt {certificate(folder)} ssl-min-ver TLSv1.3"
    far = haproxy(stage, folder, target, tuning=tuning, bind=bind)
    server = "ssl verify none ssl-min-ver TLSv1.3 no-ssl-reuse"
    near = haproxy(stage, folder, far.endpoint, tuning=tuning, server=server)
    return chain("HAProxy TLS 1.3", near, far)


def stunnel_half(stage: Stage, folder: Path, target: str, rest: str) -> Way:
    """Stunnel with TLS on one side of it."""
    accept = f"{HOST}:{free_port()}"
    configuration = folder / f"stunnel-{accept.rpartition(':')[2]}.conf"
    configuration.write_text(STUNNEL.format(accept=accept, target=target, rest=rest), "ascii")
    running = stage.start("stunnel", program("stunnel"), configuration, vital=True)
    return until_it_listens(stage, Way("stunnel", accept, (running.pid,)), running)


def stunnel_chain(stage: Stage, target: str, folder: Path) -> Way:
    """TLS 1.3 between two of them."""
    modern = f"sslVersion = TLSv1.3\nciphersuites = {SUITE}\n"
    far = stunnel_half(stage, folder, target, modern + f"cert = {certificate(folder)}\n")
    near = stunnel_half(stage, folder, far.endpoint, modern + "client = yes\n")
    return chain("stunnel TLS 1.3", near, far)


def deployed_stunnel_chain(stage: Stage, target: str, folder: Path) -> Way:
    """As with SciStream 1.x: it authenticates and does not encrypt."""
    deployed = "ciphers = PSK-NULL-SHA256:@SECLEVEL=0\nsecurityLevel = 0\n"
    deployed += f"sslVersion = TLSv1.2\nPSKsecrets = {shared_key(folder)}\n"
    far = stunnel_half(stage, folder, target, deployed)
    near = stunnel_half(stage, folder, far.endpoint, deployed + "client = yes\n")
    return chain("stunnel as deployed, no encryption", near, far)


def stunnel_psk_chain(stage: Stage, target: str, folder: Path) -> Way:
    """TLS 1.3 with a shared key between two of them, which is how ours authenticate."""
    shared = f"sslVersion = TLSv1.3\nciphersuites = {SUITE}\nPSKsecrets = {shared_key(folder)}\n"
    far = stunnel_half(stage, folder, target, shared)
    near = stunnel_half(stage, folder, far.endpoint, shared + "client = yes\n")
    return chain("stunnel TLS 1.3, shared key", near, far)


def shared_key(folder: Path) -> Path:
    """A file of stunnel's with one key."""
    path = folder / "psk"
    if not path.exists():
        path.write_text(f"client1:{secrets.token_hex(16)}\n", "ascii")
        path.chmod(0o600)
    return path


def ssh_chain(stage: Stage, target: str, folder: Path) -> Way:
    """What scientists use without SciStream: one SSH connection that carries all of them."""
    server, client = program("sshd"), program("ssh")
    place = folder / "ssh"
    place.mkdir()
    for name in ("host", "user"):
        words = [program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", str(place / name)]
        stage.call("ssh-keygen", *words)
    port = free_port()
    text = SSHD.format(host=HOST, port=port, folder=place, cipher=SSH_CIPHER)
    (place / "sshd.conf").write_text(text, "ascii")
    user = getpass.getuser()
    prefix: list[str] = []
    if os.geteuid() == 0 and may_become_nobody():
        # A server of root's wants folders and users that only an installation makes.
        user = NOBODY
        account = pwd.getpwnam(user)
        prefix = as_nobody()
        for path in (folder, place, *place.iterdir()):
            os.chown(path, account.pw_uid, account.pw_gid)
    words = [*prefix, server, "-D", "-e", "-f", str(place / "sshd.conf")]
    far = stage.start("sshd", *words)
    until_it_listens(stage, Way("sshd", f"{HOST}:{port}"), far)
    listen = free_port()
    options = ["BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null"]
    options += [f"Ciphers={SSH_CIPHER}", "Compression=no", "LogLevel=ERROR", f"Port={port}"]
    options += ["ExitOnForwardFailure=yes", f"IdentityFile={place / 'user'}", "IdentitiesOnly=yes"]
    words = [*prefix, client, "-F", "none", *(f"-o{option}" for option in options)]
    # With a session open, if an idle one, both ends send small messages at once.
    words += ["-L", f"{HOST}:{listen}:{target}", "-s", f"{user}@{HOST}", "sftp"]
    near = stage.start("ssh", *words, hold_stdin=True)
    way = Way("OpenSSH tunnel", f"{HOST}:{listen}", (near.pid,), (far.pid,))
    until_it_listens(stage, way, near)
    near.vital = far.vital = True
    return way


def encrypted_chains(
    stage: Stage, target: str, folder: Path, *, deployed: bool
) -> list[Callable[[], Way]]:
    """What starts client side and server side of each peer. NotHere if it is not."""
    chains = [haproxy_chain, stunnel_chain, *([deployed_stunnel_chain] if deployed else [])]
    return [partial(each, stage, target, folder) for each in (*chains, ssh_chain)]


def versions() -> dict[str, str]:
    """Those of the peers that are there."""
    asked = {"haproxy": "-v", "nginx": "-v", "stunnel": "-version", "socat": "-V", "ssh": "-V"}
    found = {}
    for name, flag in asked.items():
        try:
            words = [program(name), flag]
        except NotHere:
            continue
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if number := re.search(r"\d+\.\d[\w.]*", done.stdout + done.stderr):
            found[name] = number[0]
    return found
