"""The records of one portion on their way: which are still to be sent, and what is known of those that were."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import islice
from time import time

from snk.core.canonical import Digest, record_digest
from snk.pipeline.doubts import Doubts
from snk.pipeline.frame import Portion, written
from snk.pipeline.framefile import End, Line, last_line, lines, loads
from snk.pipeline.mapping import Mapper, Unfit, dumps
from snk.pipeline.proof import Done
from snk.pipeline.seen import Damaged
from snk.pipeline.sink import Parcel, Sending
from snk.pipeline.space import Space
from snk.pipeline.uids import UidFile

SKIPPED_AT_ONCE = 200
"""So many parcels that were sent before are passed over until others get their turn."""
_Record = tuple[str, bytes, bool]
"""A uid, the record as it is sent, and whether it was sent before."""


@dataclass(slots=True)
class Tally:
    """What is known of a portion.

    Attributes:
        mapped: the records as they are sent.
        source: the records as the source has them.
        ambiguous: requests without an answer.
        stored: records that the server had from before.
    """

    mapped: Digest = field(default_factory=Digest)
    source: Digest = field(default_factory=Digest)
    ambiguous: int = 0
    stored: int = 0


class Parcels:
    """The records of one portion.

    Attributes:
        portion: which one.
        uids: of the records that were acknowledged.
        doubts: which records may have been stored without an answer.
        tally: what is known of it.
        under_way: parcels that were taken and not finished.
        left: records that were taken and not acknowledged.
        again: whether all records of the frame are sent once more, so that the server may have each of them.
        drained: whether all were taken.
        whole: whether the file was read to its end, and its records fit that.
        trouble: why the portion cannot be pushed now; nothing more is taken then.
        refused: whether only a person can mend that.
        uid: of the record that is to blame.
    """

    def __init__(self, space: Space, portion: Portion, mapper: Mapper, sending: Sending) -> None:
        """Open the files.

        Raises:
            OSError: they cannot be opened.
        """
        self.portion = portion
        self.doubts = Doubts(space.doubts.file(portion), sending.slots * max(1, sending.batch))
        self.uids = UidFile(space.uids.file(portion))
        self.tally = Tally()
        self.under_way = 0
        self.left = 0
        self.again = False
        self.drained = False
        self.whole = False
        self.trouble = ""
        self.refused = False
        self.uid = ""
        self._space = space
        self._mapper = mapper
        self._batch = sending.batch
        self._suffix = ""
        try:
            with suppress(Damaged, FileNotFoundError):  # that is told when its records are read
                end = last_line(space.frames.file(portion))
                self.again, self._suffix = end.again, end.suffix
        except OSError as error:
            self.fail(f"its file cannot be read: {error.strerror}")
        self._parcels = self._batches() if self._batch else self._one_by_one()

    def take(self) -> Parcel | None:
        """The next parcel; None if others should get their turn first, or nothing is left: see ``drained``."""
        if self.trouble:
            self.drained = True
        try:
            parcel = None if self.drained else self._next()
        except StopIteration:
            self.drained, parcel = True, None
        except (Damaged, FileNotFoundError, ValueError) as error:
            self.fail(f"its file is damaged: {error}", refused=True)
            self.drained, parcel = True, None
        except OSError as error:
            self.fail(f"its file cannot be read: {error.strerror}")
            self.drained, parcel = True, None
        if parcel is not None:
            self.under_way += 1
            self.left += len(parcel.uids)
        return parcel

    def singles(self, parcel: Parcel) -> list[Parcel]:
        """The records of a batch, each in a parcel of its own."""
        return [self._single(uid, body) for uid, body in zip(parcel.uids, parcel.bodies, strict=True)]

    def acknowledged(self, parcel: Parcel) -> None:
        """All records of a parcel are acknowledged; `UidFile.save` writes that down."""
        self.left -= len(parcel.uids)
        self.doubts.over(parcel.uids)
        self.uids.add(*parcel.uids)

    def close(self) -> None:
        """Close the files."""
        with suppress(OSError):  # then everything under way counts as in doubt, as after a crash
            self.doubts.close()
        self.uids.close()

    def remove(self) -> None:
        """Remove the files: the portion is done."""
        self.uids.remove()
        self.doubts.remove()

    def fail(self, reason: str, *, refused: bool = False, uid: str = "") -> None:
        """The portion cannot be pushed now; the first reason counts, unless a later one is final."""
        if not self.trouble or (refused and not self.refused):
            self.trouble, self.refused, self.uid = reason, refused, uid

    @property
    def over(self) -> bool:
        """Whether nothing of it is taken any more, nor under way."""
        return self.drained and not self.under_way

    def done(self) -> Done:
        """The proof, when all is acknowledged."""
        tally = self.tally
        return Done(
            self._space.grid.iso(self.portion.frame),
            tally.mapped.count,
            tally.mapped.hex,
            self.portion.part,
            self.again,
            tally.source.hex,
            tally.ambiguous,
            tally.stored,
            done_at=written(time()),
        )

    def _next(self) -> Parcel | None:
        """The next parcel; None if so many were passed over."""
        for _ in range(SKIPPED_AT_ONCE):
            if (parcel := next(self._parcels)) is not None:
                return parcel
        return None

    def _one_by_one(self) -> Iterator[Parcel | None]:
        """All records, and None for each that was sent before."""
        for uid, body, sent in self._records():
            if sent:
                yield None
            else:
                self.doubts.meet(uid)
                yield self._single(uid, body)

    def _batches(self) -> Iterator[Parcel | None]:
        """All batches, and None for each that was sent before."""
        records = self._records()
        while held := list(islice(records, self._batch)):
            yield None if all(sent for _, _, sent in held) else self._together(held)

    def _records(self) -> Iterator[_Record]:
        """All records, up to one that does not fit."""
        for line in lines(self._space.frames.file(self.portion)):
            if isinstance(line, End):
                if line.digest != self.tally.source.hex:
                    raise Damaged("its digest does not fit its records")
                self.whole = True
                return
            body = self._counted(line)
            if body is None:
                return
            yield line.uid, body, self.uids.has(line.uid)

    def _counted(self, line: Line) -> bytes | None:
        """A record as it is sent, and counted; None if it does not fit."""
        self.tally.source.add(line.digest)
        if not self._mapper:
            self.tally.mapped.add(line.digest)
            return line.text
        try:
            mapped = self._mapper.map(loads(line.text))
        except Unfit as error:
            self.fail(str(error), refused=True, uid=line.uid)
            return None
        self.tally.mapped.add(record_digest(mapped))
        return dumps(mapped)

    def _together(self, held: list[_Record]) -> Parcel:
        for uid, _, sent in held:
            if not sent:
                self.doubts.meet(uid)
        uids = tuple(uid for uid, _, _ in held)
        # The key follows from the records, so that other batches after a restart have other keys.
        key = "batch-" + sha256("\n".join(uids).encode("utf-8", "surrogatepass")).hexdigest()
        return Parcel(key + self._suffix, uids, [body for _, body, _ in held], batch=True)

    def _single(self, uid: str, body: bytes) -> Parcel:
        return Parcel(uid + self._suffix, (uid,), (body,))
