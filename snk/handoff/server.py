"""The sync server: the five parts, joined by the queues of each backend."""

import asyncio
import time
from collections.abc import Collection, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from snk.core.breaker import Breaker
from snk.handoff.backend import Backend
from snk.handoff.check_backend import CheckBackend
from snk.handoff.client import BackendClient
from snk.handoff.dead import DeadLetters
from snk.handoff.durable import Durable
from snk.handoff.logfile import LogFile
from snk.handoff.monitor import Monitor, Scan
from snk.handoff.names import Seen
from snk.handoff.pool import Pool, Sending
from snk.handoff.progress import Handles, Progress, TornProgress, settled_in
from snk.handoff.read_log import ReadLog
from snk.handoff.release_file import ReleaseFile
from snk.handoff.state import State

log = structlog.get_logger()

HELD_SECONDS = 0.5
"""How often it is looked whether a person has paused a backend."""
TIDY_SECONDS = 86_400.0
"""How often progress of logs that vanished long ago is deleted."""
LAST_ANSWERS_SECONDS = 5.0
"""How long answers are waited for when the server is stopped; a line without one is sent again by the next."""


@dataclass(frozen=True, slots=True)
class Serving:
    """How the server works.

    Attributes:
        logs: the folder with one folder for each backend.
        threads: requests to one backend at once.
        authorization: user:password for the backends.
    """

    logs: Path
    sending: Sending
    threads: int
    authorization: str | None
    tls: bool
    check_seconds: float
    scan_seconds: float
    release_seconds: float
    most_line: int


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of the lines of one run.

    Attributes:
        left: lines that wait still.
    """

    sent: int
    dead: int
    lost: int
    left: int

    def __str__(self) -> str:
        lost = f", {self.lost:,} lost" if self.lost else ""
        return f"{self.sent:,} sent, {self.dead:,} dead, {self.left:,} left{lost}"


@dataclass(slots=True)
class Lane:
    """One backend with all that works for it."""

    backend: Backend
    client: BackendClient
    pool: Pool
    reader: ReadLog
    checker: CheckBackend
    release: ReleaseFile


class Server:
    """The sync server.

    Attributes:
        lanes: by the names of the backends.
    """

    def __init__(self, serving: Serving, state: State) -> None:
        self.serving = serving
        self.state = state
        self.durable = Durable()
        self.letters = DeadLetters(state.dead)
        self.lanes: dict[str, Lane] = {}
        self.monitor = Monitor(serving.logs, serving.scan_seconds, self._see)
        self._handles = Handles()
        self._work: asyncio.TaskGroup | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._to_count = asyncio.Event()
        self._releasing = asyncio.Lock()
        self._ends = False
        self._tidied = float("-inf")

    @property
    def tally(self) -> Tally:
        """What became of the lines so far."""
        backends = [lane.backend for lane in self.lanes.values()]
        counts = [backend.counts for backend in backends]
        return Tally(
            sum(each.synced for each in counts),
            sum(each.dead for each in counts),
            sum(each.lost for each in counts),
            sum(backend.pending for backend in backends),
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Work until told to stop."""
        try:
            async with asyncio.TaskGroup() as self._work:
                self._work.create_task(self.durable.run(stop))
                await self.monitor.look()
                for part in (
                    self.monitor.run(),
                    self.monitor.watch(stop),
                    self._release(),
                    self._count(),
                    self._hold(),
                ):
                    self._start(part)
                await stop.wait()
                await self._finish()
                for task in self._tasks:
                    task.cancel()
            log.info("server_stopped", tally=str(self.tally))
        finally:
            self._work = None
            await self.durable.once()
            for lane in self.lanes.values():
                await lane.client.close()
            self._handles.close_all()

    async def drain(self, stop: asyncio.Event) -> bool:
        """Work until nothing moves any more; return whether everything is settled.

        A line that gets no answer is sent `MOST_LOSSES` times.
        """
        self._ends = True
        running = asyncio.create_task(self.run(stop))
        try:
            # Whether anything moves is spread over many places, so it is looked at in intervals.
            while not running.done() and not self._at_rest():  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            while not running.done() and any(  # noqa: ASYNC110
                lane.release.expects for lane in self.lanes.values()
            ):
                await asyncio.sleep(0.02)
        finally:
            stop.set()
            await running
        for lane in self.lanes.values():
            await asyncio.to_thread(_count_all, _uncounted(lane.backend))
        return not any(lane.backend.left for lane in self.lanes.values()) and not self.monitor.last.unreadable

    async def release(self) -> None:
        """Release what can be released."""
        async with self._releasing:
            for lane in list(self.lanes.values()):
                await lane.release.tick()

    def _at_rest(self) -> bool:
        """Whether no line will be settled soon."""
        return self.monitor.looked and all(lane.backend.at_rest for lane in self.lanes.values())

    async def _finish(self) -> None:
        """Send nothing more; wait for answers, and that a log which is being deleted loses its progress, too."""
        for lane in self.lanes.values():
            lane.backend.closing = True
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_ANSWERS_SECONDS):
                while self._releasing.locked() or any(  # noqa: ASYNC110 - for a moment
                    lane.backend.under_way for lane in self.lanes.values()
                ):
                    await asyncio.sleep(0.01)

    def _start(self, part: Coroutine[None, None, None]) -> None:
        assert self._work is not None  # noqa: S101 - parts are started while it runs
        self._tasks.append(self._work.create_task(part))

    async def _release(self) -> None:
        while True:
            await asyncio.sleep(self.serving.release_seconds)
            await self.release()

    async def _hold(self) -> None:
        """See which backends a person has paused."""
        while True:
            held = self.state.held()
            for name, lane in self.lanes.items():
                lane.backend.held_since = held.get(name, 0.0)
                if lane.backend.held != (name in held):
                    lane.backend.held = name in held
                    log.info("backend_held" if lane.backend.held else "backend_resumed", backend=name)
                    lane.backend.wake()
            await asyncio.sleep(HELD_SECONDS)

    async def _count(self) -> None:
        """Count the lines of logs that are not read yet, so that it is known how many wait."""
        while True:
            await self._to_count.wait()
            self._to_count.clear()
            for lane in list(self.lanes.values()):
                await asyncio.to_thread(_count_all, _uncounted(lane.backend))
            await asyncio.sleep(HELD_SECONDS)

    def _see(self, found: Scan) -> None:
        """Take up what a scan found."""
        gone = self.lanes.keys() - found.logs.keys() - found.unreadable.keys() if found.whole else found.gone
        for name, logs in {**found.logs, **{name: {} for name in gone if name in self.lanes}}.items():
            known = self.lanes.get(name)
            self._take_up(known or self._add(name), logs)
            if known is None:
                self.state.forget_released(name, logs)
        self._to_count.set()
        if found.whole and time.monotonic() - self._tidied > TIDY_SECONDS:
            self._tidied = time.monotonic()
            for name, logs in found.logs.items():
                self.state.forget_vanished(name, logs)

    def _take_up(self, lane: Lane, logs: dict[str, Seen]) -> None:
        backend = lane.backend
        gone = {file.place: file for name, file in backend.logs.items() if name not in logs and not file.releasing}
        for name, seen in logs.items():
            file = backend.logs.get(name)
            if file is None and (moved := gone.pop(seen.place, None)) is not None:
                self._rename(backend, moved, name)
                file = moved
            if file is None:
                file = self._new(backend, seen, logs)
            # The reader may have seen more than the scan, so only reading on can tell whether it is another file.
            file.suspect = seen.place != file.place or seen.size < file.offset
            file.look(seen.size)
            if file.unread:
                backend.offer(name)
        for name in backend.logs.keys() - logs.keys():
            if not backend.logs[name].releasing:
                self._vanished(backend, backend.logs.pop(name))

    def _new(self, backend: Backend, seen: Seen, present: Collection[str]) -> LogFile:
        path = self.state.progress_of(backend.name, seen, present)
        file = LogFile(self.serving.logs / backend.name / seen.name, Progress(path, self._handles), place=seen.place)
        backend.logs[seen.name] = file
        if not seen.size:
            backend.candidates.add(seen.name)
        return file

    def _rename(self, backend: Backend, file: LogFile, name: str) -> None:
        log.info("log_renamed", backend=backend.name, log=file.name, to=name)
        del backend.logs[file.name]
        file.path = file.path.with_name(name)
        file.progress.move(self.state.path_of(backend.name, name))
        backend.logs[name] = file
        backend.candidates.add(name)
        if not file.progress.saved:
            self.durable.note(file.progress)

    @staticmethod
    def _vanished(backend: Backend, file: LogFile) -> None:
        """A log was deleted or moved away by somebody else. Its progress stays for a while: the log may come back."""
        lost = max(0, file.pending - file.under_way)
        backend.counts.lost += lost
        if lost:
            log.error("log_vanished", backend=backend.name, log=file.name, lines_not_sent=lost)
            file.progress.detach()
        else:
            file.progress.delete()

    def _anew(self, path: Path, progress: Progress, why: str) -> Progress:
        """The progress of a log whose former progress cannot be used."""
        progress.detach()
        kept = self.state.quarantine(progress.path)
        if kept is not None:
            log.warning("progress_quarantined", log=str(path), reason=why, kept=str(kept), effect="all is sent again")
        return Progress(progress.path, self._handles)

    def _add(self, name: str) -> Lane:
        """Take up a backend, and set to work for it."""
        serving = self.serving
        retry = serving.sending.retry
        backend = Backend(name, Breaker(serving.threads, retry), self.durable.writable.is_set)
        held = self.state.held()
        backend.held, backend.held_since, backend.ends = name in held, held.get(name, 0.0), self._ends
        client = BackendClient(name, serving.threads, serving.authorization, tls=serving.tls)
        pool = Pool(backend, client, serving.sending, self.letters, self.durable)
        lane = Lane(
            backend,
            client,
            pool,
            ReadLog(backend, pool, self._anew, serving.most_line),
            CheckBackend(backend, client, serving.check_seconds),
            ReleaseFile(backend, pool, serving.release_seconds),
        )
        self.lanes[name] = lane
        self.durable.wake.append(backend.wake)
        for part in (lane.checker.run(), lane.reader.run(), *(pool.work() for _ in range(serving.threads))):
            self._start(part)
        return lane


def _uncounted(backend: Backend) -> list[LogFile]:
    """The logs of a backend that hold lines which were not counted."""
    return [file for file in backend.logs.values() if file.counted_bytes < file.size]


def _count_all(files: Sequence[LogFile]) -> None:
    for file in files:
        with suppress(OSError, TornProgress):
            file.count()
            file.settled_before = file.settled_before or settled_in(file.progress.path)
