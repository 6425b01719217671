"""The process of `snk pipeline push`: the loop around `Push`."""

import asyncio
import time

import structlog

from snk.pause import pause
from snk.pipeline.loaded import Loaded
from snk.pipeline.push import Push
from snk.pipeline.rate import Rate
from snk.pipeline.report import Report, me, tell
from snk.pipeline.space import Look, Space

GROUP_SECONDS = 0.1
LOOK_SECONDS = 0.2
TELL_SECONDS = 1.0
COMPACT_SECONDS = 60.0
DAY_SECONDS = 86_400
STOP_SECONDS = 3.0

log = structlog.get_logger()


async def run_push(push: Push, space: Space, loaded: Loaded | None, stop: asyncio.Event) -> None:
    """Push until told to stop. A record whose answer has not come by then is sent again by the next run."""
    await asyncio.to_thread(push.load)
    log.info("push_started", waiting=len(push.waiting.frames), done=len(push.proofs.frames))
    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(push.lane(stop)) for _ in range(push.slots)]
        group.create_task(_finish(push, stop))
        group.create_task(_upkeep(push, space, loaded, stop))
        if loaded:
            loaded.load()
            waiting.append(group.create_task(loaded.run(push.proofs, stop)))
        await stop.wait()
        push.more.set()
        _, late = await asyncio.wait(waiting, timeout=STOP_SECONDS)
        for task in late:  # for an answer of the receiving server
            task.cancel()
    await push.finish()
    await push.close()
    log.info("push_stopped")


async def _finish(push: Push, stop: asyncio.Event) -> None:
    """Prove what is over, and force UID files to disk in groups: of so many records, or after so long a time."""
    while not stop.is_set():
        await pause(push.noted, GROUP_SECONDS)
        push.noted.clear()
        await push.finish()


async def _upkeep(push: Push, space: Space, loaded: Loaded | None, stop: asyncio.Event) -> None:
    """See what is new, and tell how things are."""
    look, rate = Look(space.frames, space.refused), Rate()
    told = compacted = float("-inf")
    while not stop.is_set():
        now = time.monotonic()
        try:
            if push.blocked:
                push.unblock()
            if look.due() or push.stale:
                push.refresh()
                look.took(time.monotonic() - now)
            if now - compacted >= COMPACT_SECONDS:
                compacted = now
                push.proofs.compact(time.time() - DAY_SECONDS)
        except OSError as error:
            push.block(error)
        if now - told >= TELL_SECONDS:
            told = now
            tell(space.rss, _report(push, loaded, rate.of(push.sent, now)))
        await pause(stop, LOOK_SECONDS)
    push.noted.set()
    tell(space.rss, Report(**me(), trouble="it was stopped"))


def _report(push: Push, loaded: Loaded | None, per_second: float) -> Report:
    grid = push.grid
    failing = {grid.iso(frame): failure.reason for frame, failure in push.failing}
    unequal = {grid.iso(frame): failure.reason for frame, failure in loaded.unequal} if loaded else {}
    return Report(
        **me(),
        trouble=push.trouble,
        failing=failing,
        unequal=unequal,
        per_second=per_second,
        in_flight=push.on_wire,
        ambiguous={grid.name(each.portion): each.tally.ambiguous for each in push.open if each.tally.ambiguous},
        pushing=tuple(sorted({grid.iso(parcels.portion.frame) for parcels in push.open})),
    )
