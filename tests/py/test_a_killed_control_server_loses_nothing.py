"""`kill -9` of a control server at every step it takes: a write to its store, a message to a peer.

Whatever the step, the next control server and the client's retry complete the session, or it is
gone and everything it held has come back.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from applications import Application, echo
from facility import Client, Done, Facility, eventually

# Long enough for what nobody asks for any more: a cut request is given up after 10 s.
GIVEN_UP = 25


def with_crash_point(root: Path, folder: Path, **settings: str) -> dict[str, str]:
    library = root / "build/release/tests/cpp/libcrash_point.so"
    assert library.exists(), "./dev test builds it"
    # A copy: the build may replace it meanwhile.
    copy = shutil.copy(library, folder)
    return {
        "LD_PRELOAD": str(copy),
        **{f"SCISTREAM_CRASH_{name.upper()}": value for name, value in settings.items()},
    }


class Patient:
    """A user of two facilities, one of which may die at any moment and is started again."""

    def __init__(self, folder: Path, prod: Facility, cons: Facility) -> None:
        self.user = Client(folder, prod, cons)
        self.mortal = cons

    def _revive(self) -> None:
        if self.mortal.command.process.poll() is not None:
            for name in [*self.mortal.env]:
                if name == "LD_PRELOAD" or "CRASH" in name:
                    del self.mortal.env[name]
            self.mortal.restart()

    def run(self, *words: object) -> Done:
        """The command, while the facility comes back if it dies."""
        with self.user.start("s2uc", *words) as command:
            while command.process.poll() is None:
                self._revive()
                command.settled(0.02)
            code = command.wait()
            self._revive()
            return Done(code, command.out, command.err, 0)


def one_session(patient: Patient, app: Application) -> bool:
    """Whether it came to be; if so, it streamed and was released."""
    user = patient.user
    done = patient.run("request", "--json", *user.places, "--prod-app", app.endpoint)
    if done.rc != 0:
        assert done.json["error"]["message"]
        return False
    (listener,) = done.json["listeners"]

    def streams() -> bool:
        try:
            return echo(listener) == b"ping"
        except OSError:
            return False

    eventually(streams, "what was set up streams")
    released = patient.run("release", done.json["uid"])
    if released.rc == 5:  # it died before it had said a word to this command
        released = patient.run("release", done.json["uid"])
    assert released.rc == 0, released.err
    return True


def expect_everything_back(patient: Patient, prod: Facility, cons: Facility) -> None:
    for facility in (prod, cons):
        eventually(lambda f=facility: f.taken == [], "its ports are free", GIVEN_UP)  # type: ignore[misc]

        def nothing_held(endpoint: str = facility.endpoint) -> bool:
            done = patient.run("info", "--json", "--s2cs", endpoint)
            info = done.json
            return done.rc == 0 and (info["sessions"], info["ports_free"]) == (
                0,
                info["ports_total"],
            )

        eventually(nothing_held, "it holds no session and no lease")


def steps_of_one_session(root: Path, folder: Path, app: Application) -> int:
    """How many steps a control server takes from when it is ready until a session has ended."""
    count, once = folder / "steps", folder / "ready"
    env = with_crash_point(root, folder, count=str(count), once=str(once))
    with Facility(folder) as prod, Facility(folder, env=env) as cons:
        once.touch()
        assert one_session(Patient(folder, prod, cons), app)
        return count.stat().st_size


def kill_at(root: Path, folder: Path, app: Application, step: int, when: str) -> bool:
    folder.mkdir()
    once = folder / "ready"
    env = with_crash_point(root, folder, at=str(step), when=when, once=str(once))
    with Facility(folder) as prod, Facility(folder, "--orphan-grace", "1s", env=env) as cons:
        once.touch()
        patient = Patient(folder, prod, cons)
        complete = one_session(patient, app)
        expect_everything_back(patient, prod, cons)
        return complete


def test_a_few_of_its_steps(root: Path, tmp_path: Path, echo_app: Application) -> None:
    steps = steps_of_one_session(root, tmp_path, echo_app)
    assert steps >= 10, "the store's writes and the answers at least"
    completed = 0
    for number, step in enumerate(range(1, steps + 1, 4)):
        when = ("before", "after")[number % 2]
        completed += kill_at(root, tmp_path / f"{step}-{when}", echo_app, step, when)
    assert completed > 0, "the client's retry completes some"


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_every_step(root: Path, tmp_path: Path, echo_app: Application) -> None:
    steps = steps_of_one_session(root, tmp_path, echo_app)
    completed = sum(
        kill_at(root, tmp_path / f"{step}-{when}", echo_app, step, when)
        for step in range(1, steps + 1)
        for when in ("before", "after")
    )
    assert completed > steps, "the client's retry completes most"
