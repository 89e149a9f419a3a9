"""Requests of the same id at the same moment: one user has the session, the other is told so."""

from __future__ import annotations

from pathlib import Path

from applications import Application, echo
from facility import Client, Facility


# Protocol: claim, other-values
def test_one_of_two_gets_it_and_the_other_hears_why(tmp_path: Path, echo_app: Application) -> None:
    with Facility(tmp_path, ports=12) as prod, Facility(tmp_path, ports=12) as cons:
        users = [Client(tmp_path, prod, cons) for _ in range(2)]
        for number in range(10):
            uid = f"shared-{number}"
            running = [
                user.start(
                    *("s2uc", "request", "--json", "--uid", uid, *user.places),
                    *("--num-conn", 1 + index, "--prod-app", echo_app.endpoint),
                )
                for index, user in enumerate(users)
            ]
            codes = []
            for request in running:
                with request:
                    codes.append(request.wait())
            assert set(codes) <= {0, 9}, [request.err for request in running]
            for user, code in zip(users, codes):
                if code == 0:
                    assert echo(user.sessions(uid)[1]["listeners"][0]) == b"ping"
                    user.release(uid)
            assert users[0].leased(prod) == users[0].leased(cons) == 0
