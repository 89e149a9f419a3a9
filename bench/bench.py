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
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent / "demo"))

import measure
import plots
from places import LOAD, ROOT, SESSIONS
from stage import Failed, Interrupted

RESULTS = ROOT / "build/bench"
TCP = "/proc/sys/net/ipv4"


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text("utf-8"))
    memory = re.search(r"MemTotal:\s*(\d+) kB", Path("/proc/meminfo").read_text("ascii"))
    return {
        "cpu": model[1] if model else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gb": round(int(memory[1]) * 1.024e-6, 1) if memory else None,
        "kernel": platform.release(),
        "congestion_control": congestion_control(),
        "load_average": round(os.getloadavg()[0], 2),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


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


def table(rows: list[measure.Row]) -> str:
    """The rows under the names of their columns."""
    if not rows:
        return "  nothing"
    names = [name for name, value in rows[0].items() if not isinstance(value, list)]
    texts = [names, *([str(row[name]) for name in names] for row in rows)]
    widths = [max(len(line[i]) for line in texts) for i in range(len(names))]
    numeric = [not isinstance(rows[0][name], str) for name in names]
    return "\n".join(
        "  "
        + "  ".join(
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(line, widths, numeric)
        ).rstrip()
        for line in texts
    )


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


def congestion_control() -> str:
    """That of new connections here."""
    return Path(f"{TCP}/tcp_congestion_control").read_text("ascii").strip()


def within_namespace(congestion: str, arguments: list[str]) -> int:
    """Runs this program again in a network namespace that has this one; its exit code."""
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    script = f'ip link set lo up && echo "$0" >{TCP}/tcp_congestion_control && exec "$@"'
    program = [sys.executable, str(Path(__file__).resolve()), *arguments]
    words = ["unshare", "--net", *user, "sh", "-c", script, congestion, *program]
    return subprocess.run(words, check=False).returncode


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="dev bench", description=__doc__)
    names = list(measure.MEASUREMENTS)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(names)} [all]")
    parser.add_argument(
        "--only", metavar="NAMES", type=lambda text: text.split(","), default=[], help="the same"
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        default=RESULTS,
        help="where the numbers (numbers.json) and plots go [build/bench]",
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the numbers there instead")
    parser.add_argument(
        "--congestion",
        metavar="NAME",
        help="use this TCP congestion control, such as reno, which never paces, in a namespace",
    )
    parser.add_argument("--quick", action="store_true", help="a short look, in two minutes")
    options = parser.parse_args(arguments)
    options.names += options.only
    if unknown := set(options.names) - set(names):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(names)}")
    known = Path(f"{TCP}/tcp_available_congestion_control").read_text("ascii").split()
    if options.congestion and options.congestion not in known:
        parser.error(f"--congestion {options.congestion}: this kernel has {', '.join(known)}")
    if options.congestion and options.congestion != congestion_control():
        return within_namespace(options.congestion, arguments or sys.argv[1:])
    effort = measure.QUICK if options.quick else measure.FULL
    document: dict[str, Any] = {"machine": machine(), "quick": options.quick}
    print("machine: " + ", ".join(f"{key} {value}" for key, value in document["machine"].items()))
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        wanted = options.names or names
        if set(wanted) - {"setup"}:
            build_load()
        for name in wanted:
            print(f"\n{name}: {measure.MEASUREMENTS[name].__doc__}", flush=True)
            progress = Progress(name)
            document[name], left_out = measure.run(name, effort, progress.tell)
            progress.end()
            print(table(document[name]), flush=True)
            for text in left_out:
                print(f"  left out: {text}", flush=True)
            if plot := plots.draw(name, document[name], options.out):
                print(f"  {plot}", flush=True)
    except (Failed, OSError, subprocess.SubprocessError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 130 if isinstance(error, Interrupted) else 1
    numbers = options.json or options.out / "numbers.json"
    numbers.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    print(f"\n{numbers}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
