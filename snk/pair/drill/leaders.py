"""Faults of two daemons on one pair: a lease decides which one works."""

import signal
import time

import sqlalchemy as sa

from snk.pair.drill.fault import Fault
from snk.pair.drill.stage import Daemon, NotSeen, Stage, until
from snk.pair.drill.table import NAME
from snk.pair.schema.own import Mark


class HandOver(Fault):
    """A paused leader does not know that another daemon leads."""

    name = "hand-over"
    sentence = "SIGSTOP of the leading daemon of two; the other takes over; woken, the old one must change nothing"

    def __init__(self) -> None:
        self._asleep: Daemon | None = None
        self._leader: Daemon | None = None

    async def inflict(self, stage: Stage) -> str:
        """Stop the leader, and wait for the other to lead."""
        self._asleep, self._leader = await stage.leader_and_standby()
        began = time.monotonic()
        self._asleep.child.send(signal.SIGSTOP)
        await _until_leading(self._leader)
        return f"the standby led {time.monotonic() - began:.1f} s later"

    async def heal(self, stage: Stage) -> str:
        """Resume the old leader, and check that it stands by."""
        asleep, leader = self._asleep, self._leader
        if not (asleep and leader):
            return ""
        before = await _epochs(stage)
        asleep.child.send(signal.SIGCONT)

        async def stands_by() -> bool:
            return await asleep.states() == {"standby"}

        await until(stands_by, "the woken daemon stands by")
        if await leader.states() != {"running"} or await _epochs(stage) != before:
            raise NotSeen("the woken daemon disturbed the one that leads")
        return "woken, the old one stood by"


class KillLeader(Fault):
    """The lock that proves a daemon alive ends with its connection, so the standby need not wait for lease expiry."""

    name = "kill-leader"
    sentence = "SIGKILL of the leading daemon with a standby there, which takes over"

    async def inflict(self, stage: Stage) -> str:
        """Kill it, and wait for the other to lead."""
        leader, other = await stage.leader_and_standby()
        began = time.monotonic()
        stage.kill(leader)
        await _until_leading(other)
        return f"the standby led {time.monotonic() - began:.1f} s later"

    async def heal(self, stage: Stage) -> str:  # noqa: ARG002 - there is nothing to heal
        """Nothing to do: the other daemon continues alone."""
        return ""


async def _until_leading(daemon: Daemon) -> None:
    async def running() -> bool:
        return await daemon.states() == {"running"}

    await until(running, "the standby leads")


async def _epochs(stage: Stage) -> list[int]:
    """How often the lease was taken, according to the marks of both sides; a daemon that interferes takes it again."""
    epochs: list[int] = []
    for side in stage.place.sides:
        async with side.connect() as connection:
            ours = Mark.table_name.endswith(f".{NAME}", autoescape=True)
            epochs.append((await connection.execute(sa.select(sa.func.max(Mark.epoch)).where(ours))).scalar_one())
    return epochs
