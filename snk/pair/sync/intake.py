"""What one session reads from its source."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import compress

from snk.pair.core.pace import BatchSize, Gather
from snk.pair.core.portion import Portion
from snk.pair.core.tail import Tail
from snk.pair.sync.batch import Batch, Unread
from snk.pair.sync.late import Late
from snk.pair.sync.link import Source
from snk.pair.sync.parts import FlowParts
from snk.pair.sync.start import Start
from snk.pair.table.synced import Rows

MOST_RANGES = 10_000  # intervals of holes in one statement


class Intake:
    """Reads batches in sequence, and tracks what was read and what may still appear below it.

    Attributes:
        tail: how far the source was read, and its holes.
        safe: the greatest id read that is known to be durable there.
        size: how much to read at once.
        portion: what to ask for in the next read.
        late: rows that appear in holes that were given up.
    """

    def __init__(self, source: Source, parts: FlowParts, start: Start, size: BatchSize) -> None:
        self.tail = Tail.resumed(start.mark.high, start.mark.holes)
        self.safe = start.mark.safe
        self.size = size
        self.late = Late(start.left.ledger)
        self._source = source
        self._held = parts.echoes.held_by_destination
        self._lineage = parts.around.source.lineage
        self._room = parts.around.room
        self._large = False
        self.portion = Portion.of(*self._bounds)
        self._unflushed: tuple[int, int] | None = None
        self._gather = Gather()

    async def gather(self) -> None:
        """Under load, wait briefly so that the next read finds more rows."""
        if self._gather.wait_ms:
            await asyncio.sleep(self._gather.wait_ms / 1000)

    async def read(self) -> Batch:
        """Read the next batch.

        Read above the mark; if ids are missing, look up who could insert them; re-read holes whose fence is empty.

        The order of these three statements guarantees that no row is lost: see `snk.pair.core.tail`.
        """
        asked, landed = time.monotonic(), self._held.landed
        reader = self._source.reader
        read = await reader.above(self.tail.high, self.portion.bounded(*self._bounds))
        rows, unread, full, self.portion = read.rows, read.unread, read.full, read.portion
        tail = self.tail.read(read.ids)
        self._gather = self._gather.after(len(rows))
        if tail.fenced:
            tail = tail.look(await reader.writers())
        if due := tail.due:
            part = due.first(MOST_RANGES, self.portion.rows)
            again = await reader.within(part, self.portion)
            tail = tail.reread(again.ids, up_to=again.reached if again.full else part.pairs[-1][1])
            rows, full, self.portion = rows + again.rows, full or bool(tail.due), again.portion
            unread = {**unread, **again.unread}
            self.late.finished(tail.finished)
        self._enlarge(len(read.rows), behind=full)
        self._note_durable(read.inserted, read.flushed, tail.high)
        self.tail = tail
        moved = full or bool(rows or unread)
        batch = await self._without_echoes(rows, unread)
        if not full and not tail.fenced:
            self._held.settle(landed)
        return replace(batch, asked=None if full else asked, moved=moved, full=full)

    async def batch(self, rows: Rows, unread: Unread, again: Sequence[str] = (), echoes: int = 0) -> Batch:
        """A batch of rows that were not read above the mark; the mark does not move for them."""
        made = {} if again else await self._lineage.generations(self._source.reader, rows)
        read_at = time.monotonic()
        return Batch(
            rows,
            self.tail,
            self.safe,
            asked=None,
            read_at=read_at,
            moved=False,
            full=False,
            again=again,
            unread=unread,
            echoes=echoes,
            made=made,
        )

    def take_more(self) -> None:
        """A full batch succeeded; after several of them, the batch size may grow."""
        self.size = self.size.went_well()

    @property
    def _bounds(self) -> tuple[int, int]:
        """Rows and bytes of a batch."""
        size, small = self.size, self._room.small
        if self._large:
            return size.rows, size.bytes
        return min(size.rows, small.batch_rows), min(size.bytes, small.batch_bytes)

    def _enlarge(self, rows: int, *, behind: bool) -> None:
        """Read large batches once this is behind, if there is room, until small ones do or somebody wants the place."""
        if behind and not self._large:
            self._large = self._room.take()
        elif not behind and (self._room.wanted or rows < self._room.small.batch_rows / 2):
            self.shrink()

    def shrink(self) -> None:
        """Read small batches, and leave the room to others."""
        if self._large:
            self._large = False
            self._room.give_back()

    def portion_of(self, most_rows: int) -> Portion:
        """The portion for rows requested by uuid: at most ``most_rows``, and no more bytes than any other batch."""
        rows, size = self._bounds
        return Portion.of(min(most_rows, rows), size)

    async def read_late(self, portion: Portion) -> tuple[Batch, Portion]:
        """Rows that appeared late, as many as fit, and what to ask for next."""
        found = await self.late.look(self._source.reader, portion)
        return await self._without_echoes(found.rows, found.unread), found.portion

    def _note_durable(self, inserted: int, flushed: int, high: int) -> None:
        """Advance ``safe`` once the WAL of an earlier read has been flushed to disk."""
        if self._unflushed and flushed >= self._unflushed[0]:
            self.safe = max(self.safe, self._unflushed[1])
            self._unflushed = None
        if self._unflushed is None and high > self.safe:
            self._unflushed = (inserted, high)

    async def _without_echoes(self, rows: Rows, unread: Unread) -> Batch:
        if unread:
            unread = dict(compress(unread.items(), self._held.take(unread)))
        keep = self._held.take(rows.uuids) if rows else []
        kept = rows if all(keep) else rows.where(keep)
        return await self.batch(kept, unread, echoes=len(rows) - len(kept))
