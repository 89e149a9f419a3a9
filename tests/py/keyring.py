"""A desktop's session with a keyring in it, for one user of tests."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from facility import LIMIT, Command, clean_environment, eventually
from needs import skip_or_fail

# A bus that starts no service by itself: what a desktop offers is what a test has started.
CONFIGURATION = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={bus}</listen>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""


def _answers(env: Mapping[str, str]) -> bool:
    words = ["secret-tool", "lookup", "no", "such"]
    done = subprocess.run(words, env=env, capture_output=True, timeout=LIMIT, check=False)
    return not done.stderr


@contextlib.contextmanager
def desktop(*, keyring: bool = True) -> Iterator[dict[str, str]]:
    """What a program's environment needs to be in it. Its keyring is unlocked."""
    for program in ("dbus-daemon", "gnome-keyring-daemon", "secret-tool"):
        if not shutil.which(program):
            skip_or_fail(f"{program} is not installed")
    # Sockets have short paths.
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sci-desk-")))
        bus = folder / "bus"
        (folder / "bus.conf").write_text(CONFIGURATION.format(bus=bus))
        env = {"DBUS_SESSION_BUS_ADDRESS": f"unix:path={bus}", "XDG_RUNTIME_DIR": str(folder)}
        whole = {**clean_environment(folder), **env, "XDG_DATA_HOME": str(folder / "data")}
        words = ["dbus-daemon", "--nofork", "--nopidfile", f"--config-file={folder}/bus.conf"]
        stack.enter_context(Command(*words, env=whole))
        eventually(bus.exists, "the bus listens")
        if keyring:
            (folder / "password").write_text("password")
            password = os.open(folder / "password", os.O_RDONLY)
            stack.callback(os.close, password)
            words = ["gnome-keyring-daemon", "--foreground", "--unlock", "--components=secrets"]
            stack.enter_context(Command(*words, env=whole, stdin=password))
            eventually(lambda: _answers(whole), "the keyring answers")
        yield env
