"""`python -m scistream`: versions, and where to go from here."""

from __future__ import annotations

import platform
import shutil
import sys

import scistream

TEXT = """\
SciStream {version}, Python {python}, {machine}

  commands   {commands}
  help       s2uc --help, s2cs --help, s2ds --help, appctrl --help
  package    python -c 'import scistream; help(scistream)'
  try it     python -m scistream try"""


def try_it() -> int:
    """Streams a few bytes between two facilities of this process, and says so."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as producer, scistream.LocalFacilities() as both:
        port = producer.getsockname()[1]
        with both.request(prod_app=[f"127.0.0.1:{port}"]) as session:
            with socket.create_connection(session.listeners[0].address, 10) as consumer:
                connection, _ = producer.accept()
                with connection:
                    connection.sendall(b"hello from the producer")
                print(consumer.makefile().read())
            print(
                f"through {session.listeners[0]}, {session.transport}, "
                f"set up in {session.setup_ms:.0f} ms"
            )
    return 0


def main(words: list[str]) -> int:
    """The exit code."""
    if words == ["try"]:
        return try_it()
    found = [name for name in ("s2cs", "s2uc", "s2ds", "appctrl") if shutil.which(name)]
    text = TEXT.format(
        version=scistream.__version__,
        python=platform.python_version(),
        machine=f"{platform.system()} {platform.machine()}",
        commands=", ".join(found) or "none on the PATH: is the environment activated?",
    )
    if words in ([], ["--version"], ["--help"], ["-h"]):
        print(text)
        return 0
    print(f"{' '.join(words)!r} is nothing that this knows\n\n{text}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
