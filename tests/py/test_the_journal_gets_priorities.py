"""Where stderr is systemd's journal, lines have its form (sd-daemon(3)); elsewhere ours."""

from __future__ import annotations

import re
import signal
from pathlib import Path

from facility import BIN, Command, clean_environment, own_address

# As the service manager does it: device and inode of what stderr is.
AS_A_SERVICE = 'export JOURNAL_STREAM=$(stat -Lc %d:%i /dev/stderr); exec "$@"'


def control_server(folder: Path, *flags: object, shell: str = AS_A_SERVICE) -> Command:
    return Command(
        *("sh", "-c", shell, "sh", BIN / "s2cs", "--port", 0, "--state-dir", folder / "state"),
        *flags,
        cwd=folder,
        env=clean_environment(folder),
    )


def stopped(command: Command) -> list[str]:
    """What it has written to stderr."""
    command.line("^s2cs ready on")
    command.signal(signal.SIGTERM)
    assert command.wait() == 0, command.err
    return command.err.splitlines()


def test_each_line_begins_with_its_priority(tmp_path: Path) -> None:
    with control_server(tmp_path, "--verbose") as command:
        lines = stopped(command)
    assert all(re.match(r"<[2-7]>[^<]", line) for line in lines), lines
    assert lines[0].startswith("<4>serving this machine only (127.0.0.1)")
    assert any(line.startswith("<6>certificate SHA-256 fingerprint: ") for line in lines)
    log = (tmp_path / "state/s2ds.log").read_text()
    assert "<" not in log, "that of the data server is a file"


def test_a_control_channel_in_clear_is_a_warning(tmp_path: Path) -> None:
    with control_server(tmp_path, "--listener_ip", own_address(), "--ssl=False") as command:
        assert any(line.startswith("<4>PLAINTEXT") for line in stopped(command))


def test_why_it_did_not_start_is_an_error(tmp_path: Path) -> None:
    with control_server(tmp_path, "--type", "nonsense") as command:
        assert command.wait() == 2
        assert command.err.startswith("<3>data server type 'nonsense' is not known")


def test_elsewhere_lines_have_time_and_level(tmp_path: Path) -> None:
    """Also where the variable is left from somebody else's journal."""
    with control_server(tmp_path, shell='JOURNAL_STREAM=8:1 exec "$@"') as command:
        lines = stopped(command)
    form = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3} (info|warning) s2cs: \S"
    assert all(re.match(form, line) for line in lines), lines
