"""Proves a span of frames: what the source has now, what the Done files say, and what the receiving database holds.

A record that the source shows in two neighbouring frames is pushed in one of them. So where frames differ, runs of
neighbours are compared as a whole, with each uid counted once.
"""

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field

from snk.core.canonical import Digest, record_digest
from snk.pipeline.frame import Grid
from snk.pipeline.loaded import Asked
from snk.pipeline.mapping import Mapper, Unfit
from snk.pipeline.proof import Done, Proofs, combined
from snk.pipeline.source import Source

EQUAL, LESS, MORE, OTHER = "=", "-", "+", "*"
AHEAD = 4
"""So many frames are looked at while one is judged: both servers would wait for each other otherwise."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of one frame.

    Attributes:
        frame: where it starts.
        sign: ``=`` all three agree; ``-`` the receiving end lacks records; ``+`` it has more than the source; ``*`` it
            has as many, and others.
        source: how many records the source has now.
        proven: how many the Done files count; None if there is none.
        held: how many the database of the receiving server has; None if it does not tell.
        words: what differs.
    """

    frame: str
    sign: str
    source: int
    proven: int | None
    held: int | None
    words: str = ""


@dataclass(slots=True)
class _Seen:
    """One frame before it is judged."""

    number: int
    records: dict[str, int] = field(default_factory=dict)
    done: list[Done] = field(default_factory=list)
    held: Digest | None = None

    @property
    def source(self) -> Digest:
        return _digest(self.records.values())


class Verifier:
    """Compares frames."""

    def __init__(self, grid: Grid, source: Source, mapper: Mapper, proofs: Proofs, asked: Asked | None) -> None:
        self._grid = grid
        self._source = source
        self._mapper = mapper
        self._proofs = proofs
        self._asked = asked

    async def verify(self, frames: Iterable[int]) -> AsyncIterator[Verdict]:
        """Judge frames, in ascending order.

        Raises:
            Failed: the source does not answer.
            NoPage: its answer is not what the settings say.
            NoDigest: the receiving server does not tell its digest.
        """
        run: list[_Seen] = []
        async for seen in self._looks(frames):
            if run and (seen.number != run[-1].number + 1 or (_agree(seen) and _agree(run[-1]))):
                for verdict in self._judged(run):
                    yield verdict
                run = []
            run.append(seen)
        for verdict in self._judged(run):
            yield verdict

    async def _looks(self, frames: Iterable[int]) -> AsyncIterator[_Seen]:
        """Look at frames, some of them ahead."""
        ahead: deque[asyncio.Task[_Seen]] = deque()
        try:
            for number in frames:
                ahead.append(asyncio.create_task(self._look(number)))
                if len(ahead) > AHEAD:
                    yield await ahead.popleft()
            while ahead:
                yield await ahead.popleft()
        finally:
            for task in ahead:
                task.cancel()
            await asyncio.gather(*ahead, return_exceptions=True)

    async def _look(self, number: int) -> _Seen:
        seen = _Seen(number)
        start, end = self._grid.iso(number), self._grid.iso(number + 1)
        async for page in self._source.pages(start, end, 0.0):
            for uid, record, _ in page.records():
                try:
                    seen.records[uid] = record_digest(self._mapper.map(record))
                except Unfit:
                    seen.records[uid] = record_digest(record)
        seen.done = self._proofs.between(number, number + 1).get(number, [])
        if self._asked:
            seen.held = await self._asked.digest(start, end)
        return seen

    def _judged(self, run: list[_Seen]) -> list[Verdict]:
        """The verdicts of neighbours that do not all agree by themselves."""
        records: dict[str, int] = {}
        for seen in run:
            records.update(seen.records)
        whole = _digest(records.values())
        proven = combined(done for seen in run for done in seen.done)
        held = Digest()
        for seen in run:
            held.merge(seen.held or Digest())
        as_one = whole == proven and all(seen.done for seen in run) and (not self._asked or held == whole)
        return [self._verdict(seen, agree=as_one or _agree(seen)) for seen in run]

    def _verdict(self, seen: _Seen, *, agree: bool) -> Verdict:
        source = seen.source
        proven = combined(seen.done) if seen.done else None
        sign, words = (EQUAL, "") if agree else _difference(source, proven, seen)
        held = seen.held.count if seen.held else None
        return Verdict(self._grid.iso(seen.number), sign, source.count, proven.count if proven else None, held, words)


def sampled(frames: range, share: float, seed: int) -> list[int]:
    """This share of the frames, in ascending order; always the same with the same seed."""
    count = max(1, round(len(frames) * share)) if len(frames) else 0
    return sorted(random.Random(seed).sample(frames, count))  # noqa: S311 - a sample, and no secret


def _agree(seen: _Seen) -> bool:
    source = seen.source
    return bool(seen.done) and combined(seen.done) == source and seen.held in (None, source)


def _difference(source: Digest, proven: Digest | None, seen: _Seen) -> tuple[str, str]:
    """The sign and the words for a frame that differs."""
    if proven is None:
        return LESS, "it is not done"
    dropped = next((done.dropped for done in seen.done if done.dropped), "")
    if dropped:
        return LESS, f"a person gave it up: {dropped}"
    end, what = (proven, "pushed") if proven != source else (seen.held or proven, "in the database")
    if end.count < source.count:
        return LESS, f"{source.count - end.count} of {source.count} are not {what}"
    if end.count > source.count:
        return MORE, f"{end.count - source.count} more are {what} than the source has"
    return OTHER, f"as many are {what}, and others"


def _digest(digests: Iterable[int]) -> Digest:
    whole = Digest()
    for each in digests:
        whole.add(each)
    return whole
