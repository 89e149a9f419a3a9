"""How long to measure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Effort:
    """Of one run."""

    sessions: int  # set up and released, one after another
    rounds: int  # in which everything that is compared takes its turn
    seconds: float  # of load in each turn
    connections: tuple[int, ...]
    rates: tuple[int, ...]  # Mbit/s
    messages: int  # of 64 B in a turn; a third as many of 64 KiB
    idle: int  # connections that say nothing
    round_trips: tuple[float, ...]  # ms, of the long path
    path_rounds: int  # over it, which takes its time
    standing: int  # sessions that are there while others come and go
    streams: int  # of them that carry data


FULL = Effort(
    sessions=100,
    rounds=5,
    seconds=1.5,
    connections=(1, 4, 16, 64),
    rates=(10, 100, 1000, 5000),
    messages=3000,
    idle=8000,
    round_trips=(0, 1, 10, 50, 100),
    path_rounds=3,
    standing=1000,
    streams=50,
)
QUICK = Effort(
    sessions=5,
    rounds=1,
    seconds=0.4,
    connections=(1, 4),
    rates=(100,),
    messages=300,
    idle=200,
    round_trips=(0, 20),
    path_rounds=1,
    standing=20,
    streams=2,
)
