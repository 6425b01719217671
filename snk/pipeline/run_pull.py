"""The process of `snk pipeline pull`: the loop around `Pull`."""

import asyncio
import json
import time
from contextlib import suppress
from pathlib import Path

import structlog

from snk.log import Reminder
from snk.pause import pause
from snk.pipeline import space as spaces
from snk.pipeline.lateness import BUCKETS, Lateness
from snk.pipeline.pull import Pull, Pulling
from snk.pipeline.rate import Rate
from snk.pipeline.report import Report, me, tell
from snk.pipeline.source import Asking, Source
from snk.pipeline.space import Look, Space

LOOK_SECONDS = 0.2
TELL_SECONDS = 1.0
WEIGH_SECONDS = 15.0
"""Meanwhile what is stored is added to the last weight."""
WEIGH_SHARE = 10
"""Nothing can be stored while all is weighed, so that takes at most this part of the time."""
LATENESS = "lateness.json"
ANSWERED = "answered"
STOP_SECONDS = 3.0

log = structlog.get_logger()


async def run_pull(space: Space, asking: Asking, plan: Pulling, stop: asyncio.Event) -> None:
    """Pull until told to stop. A frame that is not whole by then is pulled again by the next run."""
    async with Source(asking, space.sss) as source:
        source.answered = (space.sss / ANSWERED).exists()
        pull = Pull(space, source, plan)
        pull.lateness = _read_lateness(space.sss / LATENESS)
        await pull.load()
        log.info("pull_started", missing=len(pull.missing()), kept=len(pull.holding.kept))
        async with asyncio.TaskGroup() as group:
            lanes = [group.create_task(pull.work(stop)) for _ in range(plan.in_flight)]
            group.create_task(_upkeep(pull, space, stop))
            await stop.wait()
            _, late = await asyncio.wait(lanes, timeout=STOP_SECONDS)
            for lane in late:
                lane.cancel()
        with suppress(OSError):
            spaces.replace(space.sss / LATENESS, json.dumps(pull.lateness.counts).encode())
        log.info("pull_stopped")


async def _upkeep(pull: Pull, space: Space, stop: asyncio.Event) -> None:
    """Remove what was pushed, see to the disk, and tell how things are."""
    look, rate, reminder = Look(space.done, space.unfit, space.again), Rate(), Reminder()
    told = weighed = float("-inf")
    took = 0.0
    while not stop.is_set():
        now = time.monotonic()
        if pull.source.answered and not (space.sss / ANSWERED).exists():
            with suppress(OSError):
                (space.sss / ANSWERED).touch()
        try:
            if look.due() or pull.blocked:
                await pull.refresh()
                await pull.release()
                pull.unblock()
                look.took(time.monotonic() - now)
        except OSError as error:
            pull.block(error)
        if weigh_now(now - weighed, took, full=bool(pull.full)):
            await pull.weigh()
            weighed, took = now, time.monotonic() - now
        if now - told >= TELL_SECONDS:
            told = now
            tell(space.sss, _report(pull, rate.of(pull.counted, now)))
        if (warning := pull.source.clock.warning) and reminder.due("clocks"):
            log.warning("clocks_apart", reason=warning)
        await pause(stop, LOOK_SECONDS)
    tell(space.sss, Report(**me(), trouble="it was stopped"))


def weigh_now(since: float, took: float, *, full: bool) -> bool:
    """Whether both spaces are weighed: soon after the last time, if nothing goes on until there is room.

    Args:
        since: seconds since then.
        took: how long it took.
        full: whether there is no room.
    """
    return since >= max(TELL_SECONDS if full else WEIGH_SECONDS, WEIGH_SHARE * took)


def _report(pull: Pull, per_second: float) -> Report:
    grid = pull.grid
    return Report(
        **me(),
        trouble=pull.trouble,
        failing={grid.iso(frame): failure.reason for frame, failure in pull.failing},
        ahead=pull.source.clock.ahead,
        source_now=pull.source.clock.now(),
        delay_seconds=pull.delay,
        per_second=per_second,
        in_flight=len(pull.busy),
        changed=pull.changed,
    )


def _read_lateness(file: Path) -> Lateness:
    """What was known of lateness when the last run ended; nothing if that is unknown."""
    with suppress(OSError, ValueError, TypeError):
        counts = [int(count) for count in json.loads(file.read_bytes())]
        if len(counts) == BUCKETS:
            return Lateness(counts)
    return Lateness()
