"""Measurements, side by side with peers. bench/README.md says how to read them.

Absolute numbers belong to the machine and the moment; ratios within one run are what counts.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parent / "demo"))

import figures
import measure
import peers
import plots
import report
import targets
from effort import FULL, QUICK
from netpath import CONGESTION_CONTROL, congestion_control
from stage import Failed, Interrupted
from ways import LOAD, ROOT, SESSIONS

RESULTS = ROOT / "build/bench"
NUMBERS = "numbers.json"
REPORT = "report.md"
AVAILABLE = Path("/proc/sys/net/ipv4/tcp_available_congestion_control")


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text("utf-8"))
    memory = re.search(r"MemTotal:\s*(\d+) kB", Path("/proc/meminfo").read_text("ascii"))
    return {
        "cpu": model[1] if model else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gb": round(int(memory[1]) * 1.024e-6, 1) if memory else None,
        "kernel": platform.release(),
        # Ours never pace over loopback; everybody else does, if this one does.
        "congestion_control": congestion_control(),
        "ours_on_loopback": "reno",
        "cipher_gb_per_s": cipher_speed(),
        "load_average": round(os.getloadavg()[0], 2),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def cipher_speed() -> float:
    """AES-128-GCM of OpenSSL on one core, in records of TLS."""
    words = ["openssl", "speed", "-mr", "-evp", "aes-128-gcm", "-bytes", "16384", "-seconds", "1"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    found = re.search(r"^\+F:.*:([\d.]+)$", done.stdout, re.MULTILINE)
    return round(float(found[1]) * 1e-9, 2) if found else 0.0


def commit() -> str:
    """What is measured."""
    words = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()


def build_load() -> None:
    """Builds the load generator; quick when there is nothing to do."""
    tree = ROOT / "build/release"
    configure = ["cmake", "--log-level=ERROR", "-DSCISTREAM_STUDIES=ON", str(tree)]
    build = ["cmake", "--build", str(tree), "--target", LOAD.name, SESSIONS.name]
    built = LOAD.exists() and SESSIONS.exists()
    for words in (build,) if built else (configure, build):
        done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT)
        if done.returncode != 0:
            raise Failed(f"{' '.join(words)}:\n{done.stdout}{done.stderr}")


class Progress:
    """On a terminal, a line that says what is measured right now and for how long already."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._since = time.monotonic()

    def tell(self, what: str) -> None:
        """Replaces the line."""
        if sys.stderr.isatty():
            took = time.monotonic() - self._since
            sys.stderr.write(f"\r\033[K  {self._name} {took:3.0f} s: {what}")
            sys.stderr.flush()

    def end(self) -> None:
        """Wipes the line."""
        if sys.stderr.isatty():
            sys.stderr.write("\r\033[K")


def within_namespace(congestion: str, arguments: list[str]) -> NoReturn:
    """Becomes this program again, in a network namespace that has this congestion control."""
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    script = f'ip link set lo up && echo "$0" >{CONGESTION_CONTROL} && exec "$@"'
    program = [sys.executable, str(Path(__file__).resolve()), *arguments]
    words = ["unshare", "--net", *user, "sh", "-c", script, congestion, *program]
    os.execvp(words[0], words)


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line; says what is wrong with it and exits with 2."""
    parser = argparse.ArgumentParser(prog="dev bench", description=__doc__)
    known = list(measure.MEASUREMENTS)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(known)} [all]")
    parser.add_argument(
        "--only",
        metavar="NAMES",
        type=lambda text: text.split(","),
        action="extend",
        default=[],
        help="the same, with commas between them",
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        default=RESULTS,
        help="where numbers.json, report.md and the plots go [build/bench]",
    )
    parser.add_argument(
        "--congestion",
        metavar="NAME",
        help="use this TCP congestion control, such as reno, which never paces, in a namespace",
    )
    parser.add_argument("--quick", action="store_true", help="a short look, in two minutes")
    options = parser.parse_args(arguments)
    options.names += options.only
    if unknown := set(options.names) - set(known):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    options.names = [name for name in known if name in options.names] or known
    there = AVAILABLE.read_text("ascii").split()
    if options.congestion and options.congestion not in there:
        parser.error(f"--congestion {options.congestion}: this kernel has {', '.join(there)}")
    return options


def one(name: str, options: argparse.Namespace, document: dict[str, Any]) -> None:
    """Measures it, shows it, and adds it to what is in the file."""
    plot = options.out / f"{name}.png"
    plot.unlink(missing_ok=True)  # of another run
    print(f"\n{name}: {measure.MEASUREMENTS[name].__doc__}", flush=True)
    progress = Progress(name)
    effort = QUICK if options.quick else FULL
    try:
        document[name], left_out = measure.run(name, effort, progress.tell)
    finally:
        progress.end()
    document["left_out"] += [text for text in left_out if text not in document["left_out"]]
    print(figures.table(document[name]), flush=True)
    for text in left_out:
        print(f"  left out: {text}", flush=True)
    if plots.draw(name, document[name], plot):
        print(f"  {plot}", flush=True)
    write(document, options.out)


def write(document: dict[str, Any], folder: Path) -> None:
    """All that was measured so far, for programs and for readers."""
    (folder / NUMBERS).write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    titles = {name: measured.__doc__ or "" for name, measured in measure.MEASUREMENTS.items()}
    (folder / REPORT).write_text(report.report(document, titles), "utf-8")


def main(arguments: list[str]) -> int:
    """The command line."""
    options = parse(arguments)
    if options.congestion and options.congestion != congestion_control():
        within_namespace(options.congestion, arguments)
    document: dict[str, Any] = {"machine": machine(), "quick": options.quick}
    document |= {"commit": commit(), "day": f"{datetime.now(timezone.utc):%Y-%m-%d}"}
    document |= {"peers": peers.versions(), "left_out": []}
    print("machine: " + ", ".join(f"{key} {value}" for key, value in document["machine"].items()))
    print("peers: " + ", ".join(f"{key} {value}" for key, value in document["peers"].items()))
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        write(document, options.out)  # fails now rather than at the end
        if set(options.names) - {"setup"}:
            build_load()
        for name in options.names:
            one(name, options, document)
    except (Failed, OSError, subprocess.SubprocessError, ValueError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 130 if isinstance(error, Interrupted) else 1
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 130
    if judged := targets.judge(document):
        document["targets"] = judged
        write(document, options.out)
        print(f"\ntargets: {targets.judge.__doc__}\n{figures.table(judged)}")
    print(f"\n{options.out / NUMBERS}\n{options.out / REPORT}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
