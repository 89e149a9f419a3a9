"""A container engine of the tests' own, which leaves nothing behind: `start`, `stop`.

The engine is Debian's, unpacked by `./dev test` and not installed. It runs in PID and mount
namespaces of its own, so that with one process every other one of it ends, those of containers
included, and every mount goes. Images stay in build/docker/data from one run to the next.

`start` prints the variables that say where it is, as a shell reads them: SCISTREAM_TEST_ENGINE, the
address of the engine's API, and SCISTREAM_TEST_IMAGE, the name of the image of what was built.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "build/docker"
PROGRAMS = FOLDER / "engine"
IMAGE = "scistream:test"
START_LIMIT = 60.0  # seconds
# It gives containers 15 s to end before it kills them.
STOP_LIMIT = 30.0

# Here shims of containers keep their sockets, wherever else an engine is told to be.
RUN_FOLDER = Path("/run/containerd")
SHELL = f'mount -t tmpfs -o mode=711 scistream {RUN_FOLDER} && exec "$@"'


class NoEngineError(Exception):
    """There can be no engine here; the text says why."""


@dataclass
class Engine:
    """One that runs: what `stop` must know to end it, whoever started it."""

    folder: str  # its sockets and what else lives no longer than it
    namespaces: int  # the process with which its namespaces end
    started: int  # when that started, in the kernel's ticks
    owner: int  # for whom it runs
    owner_started: int

    @property
    def address(self) -> str:
        return f"unix://{self.folder}/docker.sock"


# ---- processes ---------------------------------------------------------------------------------


def stat_fields(pid: int) -> list[str]:
    """Of /proc/PID/stat, from the state on; empty if there is no such process or it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
    return [] if fields[0] in "ZX" else fields


def start_time(pid: int) -> int:
    """Which of all the processes that bear this number; 0 if none does."""
    fields = stat_fields(pid)
    return int(fields[19]) if fields else 0


def children(pid: int) -> list[int]:
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [child for child in pids if stat_fields(child)[1:2] == [str(pid)]]


def within(limit: float, look: Callable[[], bool]) -> bool:
    """Whether it came true in that time; nothing announces what is waited for here."""
    deadline = time.monotonic() + limit
    while not look():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


# ---- its commands ------------------------------------------------------------------------------


def environment(address: str = "") -> dict[str, str]:
    """For the engine's programs, and for `docker` with the engine at that address."""
    folders = [PROGRAMS / "usr/sbin", PROGRAMS / "usr/bin"]
    return {
        **os.environ,
        "PATH": ":".join([*map(str, folders), os.environ["PATH"], "/usr/sbin", "/sbin"]),
        "DOCKER_HOST": address,
        "DOCKER_CONFIG": str(FOLDER / "config"),  # nobody's log-ins
    }


def docker(address: str, *words: str) -> str:
    """What the command said on standard output."""
    done = subprocess.run(
        ["docker", *words],
        env=environment(address),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise NoEngineError(f"docker {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


# ---- start -------------------------------------------------------------------------------------


def check_possible() -> None:
    """Raises if there can be no engine here."""
    if sys.platform != "linux" or os.geteuid() != 0:
        raise NoEngineError("a container engine needs root")
    if not (PROGRAMS / "complete").exists():
        raise NoEngineError("no container engine is unpacked in build/docker; ./dev test does that")
    for program in ("unshare", "mount"):
        if not shutil.which(program):
            raise NoEngineError(f"a private container engine needs the program {program}")
    done = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True, check=False
    )
    if done.returncode != 0:
        raise NoEngineError(f"no namespaces here: {done.stderr.decode().strip()}")


def launch(owner: int) -> Engine:
    """The engine's processes, which need not answer yet."""
    run_folder = hold_run_folder()
    folder = Path(tempfile.mkdtemp(prefix="scistream-engine-"))
    libraries = [str(path) for path in (PROGRAMS / "usr/lib").glob("*-linux-gnu")]
    libraries += [str(path) for path in (PROGRAMS / "lib").glob("*-linux-gnu")]
    words = [
        *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
        *("sh", "-c", SHELL, "sh", "tini", "--", "dockerd"),
        *("--data-root", FOLDER / "data", "--exec-root", folder / "exec"),
        *("--pidfile", folder / "pid", "--host", f"unix://{folder}/docker.sock"),
        # Containers have the host's network or none, so nothing of the host's is set up.
        *("--bridge", "none", "--iptables=false", "--ip6tables=false"),
        *("--exec-opt", "native.cgroupdriver=cgroupfs", "--cgroup-parent", f"/{folder.name}"),
    ]
    log = (str(FOLDER / "engine.log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    # It outlives the command that starts it. Of a session of its own, because Ctrl-C is for the
    # tests, which end it in their own time.
    pid = os.posix_spawnp(
        "unshare",
        [str(word) for word in words],
        {**environment(), "LD_LIBRARY_PATH": ":".join(libraries)},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, *log),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    os.close(run_folder)
    engine = Engine(
        folder=str(folder),
        namespaces=pid,
        started=start_time(pid),
        owner=owner,
        owner_started=start_time(owner),
    )
    record().write_text(json.dumps(asdict(engine)))
    return engine


def hold_run_folder() -> int:
    """A lock on the folder that is kept as long as the engine which inherits it."""
    while True:
        RUN_FOLDER.mkdir(exist_ok=True)
        with contextlib.suppress(FileNotFoundError), contextlib.ExitStack() as undo:
            held = os.open(RUN_FOLDER, os.O_RDONLY)
            undo.callback(os.close, held)
            fcntl.flock(held, fcntl.LOCK_SH)
            # Another engine may have taken it away meanwhile.
            if os.path.samestat(os.fstat(held), RUN_FOLDER.stat()):
                os.set_inheritable(held, True)
                undo.pop_all()
                return held


def answers(engine: Engine) -> bool:
    try:
        docker(engine.address, "version")
    except NoEngineError:
        return False
    return True


def start(owner: int) -> Engine:
    """An engine for that process, without containers, with the image of what is built."""
    check_possible()
    (FOLDER / "config").mkdir(parents=True, exist_ok=True)
    with locked():
        if running := recorded():
            if start_time(running.owner) == running.owner_started:
                raise NoEngineError(f"the engine in build/docker runs for process {running.owner}")
            end(running)  # whoever it ran for was killed
        engine = launch(owner)
        try:
            within(START_LIMIT, lambda: answers(engine) or not start_time(engine.namespaces))
            if not answers(engine):
                raise NoEngineError("the engine does not start: see build/docker/engine.log")
            # Of tests that were killed.
            if left := docker(engine.address, "ps", "--all", "--quiet").split():
                docker(engine.address, "rm", "--force", "--volumes", *left)
            build_image(engine)
        except BaseException:
            end(engine)
            raise
    return engine


def build_image(engine: Engine) -> None:
    """Quick where nothing has changed: the engine remembers every step."""
    done = subprocess.run(
        ["deploy/docker/build.sh", "--base-from-packages", IMAGE],
        cwd=ROOT,
        env=environment(engine.address),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise NoEngineError(f"there is no image to test: {done.stderr.strip()}")
    docker(engine.address, "image", "prune", "--force")


# ---- stop --------------------------------------------------------------------------------------


def record() -> Path:
    """Where an engine that runs is written down."""
    return FOLDER / "running.json"


def recorded() -> Engine | None:
    """The engine that was started and not ended yet."""
    try:
        return Engine(**json.loads(record().read_text()))
    except FileNotFoundError:
        return None
    except (TypeError, ValueError) as error:
        raise NoEngineError(
            f"{record()} does not name an engine ({error}): end its processes and remove it"
        ) from None


def end(engine: Engine) -> None:
    """Its containers as they are told to end, then whatever is left of it."""
    if runs(engine):
        for first in children(engine.namespaces):
            with contextlib.suppress(ProcessLookupError):
                os.kill(first, signal.SIGTERM)
        if not within(STOP_LIMIT, lambda: not runs(engine)):
            os.kill(engine.namespaces, signal.SIGKILL)
            within(STOP_LIMIT, lambda: not runs(engine))
    shutil.rmtree(engine.folder, ignore_errors=True)
    # The kernel's last word on a container's end may come a moment after its processes'.
    name = Path(engine.folder).name
    within(STOP_LIMIT, lambda: all(remove_groups(path) for path in control_groups(name)))
    leave_run_folder()
    record().unlink(missing_ok=True)


def leave_run_folder() -> None:
    """Takes it away after the last engine: before, it would take the others' mounts with it."""
    with contextlib.suppress(OSError):
        held = os.open(RUN_FOLDER, os.O_RDONLY)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            RUN_FOLDER.rmdir()
        finally:
            os.close(held)


def runs(engine: Engine) -> bool:
    """Of one that this process has started and that has ended, the remains are taken away, too."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(engine.namespaces, os.WNOHANG)
    return start_time(engine.namespaces) == engine.started


def control_groups(name: str) -> list[Path]:
    """In the one hierarchy of today, or in each of those before."""
    top = Path("/sys/fs/cgroup")
    return [path for path in (top / name, *top.glob(f"*/{name}")) if path.is_dir()]


def remove_groups(path: Path) -> bool:
    """Whether it is gone, with those in it."""
    for folder, _, _ in os.walk(path, topdown=False):
        with contextlib.suppress(OSError):
            Path(folder).rmdir()
    return not path.exists()


def stop(owner: int | None) -> None:
    """Ends the engine that runs for that process; or for whom it may be, without one."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with locked():
        engine = recorded()
        if engine and owner in (None, engine.owner):
            end(engine)


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """One start or stop at a time."""
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def variables(engine: Engine) -> Mapping[str, str]:
    return {"SCISTREAM_TEST_ENGINE": engine.address, "SCISTREAM_TEST_IMAGE": IMAGE}


def main() -> int:
    parser = argparse.ArgumentParser(description="A container engine for tests")
    parser.add_argument("command", choices=["start", "stop"])
    parser.add_argument("--owner", type=int, help="the process for which it runs")
    arguments = parser.parse_args()
    if arguments.command == "stop":
        stop(arguments.owner)
        return 0
    try:
        engine = start(arguments.owner or os.getppid())
    except NoEngineError as error:
        print(f"no container engine: {error}", file=sys.stderr)
        return 1
    for name, value in variables(engine).items():
        print(f"{name}={value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
