"""`s2cs --max-session`: however long a session was asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from applications import Application
from facility import Client, Facility


# Protocol: lifetime-max-session
@pytest.mark.parametrize("wanted", [[], ["--for", "1h"]], ids=["no limit", "a longer one"])
def test_it_ends_after_what_the_facility_allows(
    tmp_path: Path, echo_app: Application, wanted: list[str]
) -> None:
    with (
        Facility(tmp_path, "--max-session", "300ms") as prod,
        Facility(tmp_path) as cons,
    ):
        user = Client(tmp_path, prod, cons)
        document = user.request("--prod-app", echo_app.endpoint, *wanted)
        with user.start(
            "s2uc", "watch", document["uid"], "--json", "--s2cs", prod.endpoint
        ) as watch:
            watch.line('lifetime is over.*"event":"gone"')
            assert watch.wait() == 0, watch.err
        assert prod.taken == []
        assert len(cons.taken) == 1, "the other facility has its own rules"
        assert user.s2uc("release", document["uid"]).rc == 0
