"""Certificate authorities."""

from __future__ import annotations

import subprocess
from pathlib import Path


class Authority:
    """It makes certificates for whoever asks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.file = folder / "ca.pem"
        self._make("ca", "-addext", "basicConstraints=critical,CA:TRUE")

    def _make(self, name: str, *more: str) -> None:
        files = ("-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}")
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
        subprocess.run(
            ["openssl", "req", "-x509", "-days", "2", "-nodes", *curve, *files, *more],
            cwd=self.folder,
            capture_output=True,
            check=True,
        )

    def certify(self, name: str, names: str, purpose: str = "clientAuth") -> tuple[Path, Path]:
        """Certificate and key; `names` as openssl has them, or none."""
        signed = ("-CA", "ca.pem", "-CAkey", "ca.key")
        more = ("-addext", f"subjectAltName={names}") if names else ()
        constraints = ("-addext", "basicConstraints=critical,CA:FALSE")
        self._make(name, *signed, *more, *constraints, "-addext", f"extendedKeyUsage={purpose}")
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"

    def issue(self, name: str) -> tuple[Path, Path]:
        """Certificate and key of a program at 127.0.0.1, which calls and is called."""
        return self.certify(name, "IP:127.0.0.1", "serverAuth,clientAuth")
