"""What has been pulled: frames that wait to be pushed, and the uids of those that are looked at again.

All of it follows from the files, so a crash at any moment leaves a state from which the next start goes on:

- A frame file that is newer than the uids of its frame was written just before a crash: its uids are added to them.
- A frame is pulled if its file is there, or its proof. Uids without either are of no use.
- A file is removed only when its proof is there, and its uids are on disk or not needed any more. They are forced to
  disk only then: after a crash before, they are taken from the file again.
"""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from snk.core.intervals import Intervals
from snk.files.atomic import sync_file, sync_folder
from snk.pipeline.again import Again
from snk.pipeline.frame import Portion
from snk.pipeline.framefile import End, Making, lines
from snk.pipeline.proof import Proofs
from snk.pipeline.seen import Damaged, Gathered, Seen, Settled
from snk.pipeline.space import Space

log = structlog.get_logger()


@dataclass(slots=True)
class Kept:
    """A frame whose uids are kept.

    Attributes:
        parts: how many portions of it were pulled.
        records: how many uids there are.
        age: at which it was looked at last, in seconds since its end, by the clock of this machine.
        final: whether it is not looked at any more; then its uids are kept for its neighbours.
    """

    parts: int
    records: int
    age: float
    final: bool


class Holding:
    """What is in one's own space.

    Attributes:
        kept: by the number of the frame.
        pulled: the numbers of all frames that are there or were pushed.
        proofs: of what was pushed.
    """

    def __init__(self, space: Space, proofs: Proofs) -> None:
        self.kept: dict[int, Kept] = {}
        self.pulled = Intervals()
        self.proofs = proofs
        self._space = space
        self._there: set[Portion] = set()
        self._unforced: set[int] = set()
        self._torn: set[int] = set()

    def load(self) -> None:
        """Look at everything, and remove what a crash left; `mend` does the rest."""
        for folder in (self._space.frames, self._space.seen):
            for file in folder.path.glob(".*"):
                file.unlink()
        self.proofs.refresh()
        self._there = self._space.frames.portions()
        self._know()
        for final, folder in ((False, self._space.seen), (True, self._space.final)):
            for portion in folder.portions():
                self._load_uids(portion, folder.file(portion), final=final)
        self._unforced = set(self.kept)  # the last process may have been killed just after it had written them

    def mend(self) -> None:
        """Keep the uids of files whose uids could not be written, or not before a crash.

        Raises:
            OSError: they cannot be written now, either.
        """
        unkept = [portion for portion in sorted(self._there) if not self._is_kept(portion)]
        if unkept:  # uids must not outlive a file whose name was not on disk yet
            sync_folder(self._space.frames.path)
        for portion in unkept:
            self._mend(portion)

    def refresh(self) -> bool:
        """Look at the proofs again; return whether there are new ones."""
        changed = self.proofs.refresh()
        if changed:
            self._know()
        return changed

    def next_part(self, frame: int) -> int:
        """The number of the next portion of a frame: 0 if it was never pulled."""
        parts = [portion.part for portion in self._there | self.proofs.supplements if portion.frame == frame]
        kept = self.kept[frame].parts if frame in self.kept else 0
        return max([kept, int(frame in self.pulled), *(part + 1 for part in parts)])

    def before(self, frame: int) -> list[Seen]:
        """The uids of a frame and its neighbours, as far as they are kept."""
        return [Seen(self._uids(each)) for each in (frame, frame - 1, frame + 1) if each in self.kept]

    def store(
        self, portion: Portion, making: Making, settled: Settled, age: float, *, final: bool, again: Again | None = None
    ) -> int:
        """Give what was pulled its name, and keep its uids; return how many records are new.

        Args:
            portion: what was pulled.
            making: it.
            settled: which of its lines are new.
            age: how long the frame had ended when it was asked for.
            final: whether it is not looked at any more.
            again: if it is all of the frame, to be pushed once more.

        Raises:
            OSError: it cannot be written. What is on disk then is what a crash would leave.
        """
        if settled.new or not portion.part or again:
            if settled.new < making.gathered.lines:
                making.keep(settled.keep)
            self._name(portion, making, age, again)
            kept = self._keep(portion, making, settled, age)
        else:
            making.discard()
            kept = self.kept[portion.frame]  # a frame that is looked at again is kept
        was_final = portion.frame in self.kept and self.kept[portion.frame].final
        kept.age = age
        self.kept[portion.frame] = kept
        self._looked(portion.frame, kept, final=final or was_final)
        return settled.new

    def _name(self, portion: Portion, making: Making, age: float, again: Again | None) -> None:
        """Give what was pulled its name."""
        digest, suffix = making.digest, again.suffix if again else ""
        iso = self._space.grid.iso(portion.frame)
        end = End(iso, portion.part, digest.count, digest.hex, round(age, 3), again=bool(again), suffix=suffix)
        try:
            making.finish(end)
        except OSError:
            if self._space.frames.file(portion).exists():  # it has its name, and is pushed: its uids have to be kept
                self._there.add(portion)
                self._know()
            raise
        self._there.add(portion)
        self.pulled |= Intervals(((portion.frame, portion.frame),))

    def _keep(self, portion: Portion, making: Making, settled: Settled, age: float) -> Kept:
        """Keep the uids of what has its name now."""
        old = self.kept.get(portion.frame)
        seen = Seen(self._uids(portion.frame)) if old else None
        uids = self._space.seen.file(Portion(portion.frame))
        count = making.gathered.write(uids, portion.part + 1, settled.keep, seen)
        self._unforced.add(portion.frame)
        return Kept(portion.part + 1, count, age, final=False)

    def size(self, portion: Portion) -> int:
        """Bytes on disk of a portion and of the uids of its frame; 0 if they are gone."""
        total = 0
        for file in (self._space.frames.file(portion), self._uids(portion.frame)):
            with suppress(FileNotFoundError):
                total += file.stat().st_blocks * 512
        return total

    def release(self) -> int:
        """Remove what was pushed, and uids that nobody needs any more; return how many frames were removed."""
        pushed = [portion for portion in self._there if portion in self.proofs and self._is_kept(portion)]
        there = {portion.frame for portion in self._there.difference(pushed)}
        unneeded = {frame for frame in self.kept if frame not in there and self._unneeded(frame)}
        if pushed:  # a proof that is seen may not be on disk yet
            sync_folder(self._space.done.path)
            self._force({portion.frame for portion in pushed} - unneeded)
        if pushed or unneeded:  # unneeded are only those whose neighbours will not be looked at after a crash, either
            sync_folder(self._space.seen.path)
        for portion in pushed:
            with suppress(FileNotFoundError):
                self._space.frames.file(portion).unlink()
            self._there.discard(portion)
        if unneeded:  # a file that comes back in a crash would be taken for one whose uids were not kept yet
            sync_folder(self._space.frames.path)
        for frame in unneeded:
            with suppress(FileNotFoundError):
                self._space.final.file(Portion(frame)).unlink()
            del self.kept[frame]
        self._unforced -= unneeded
        return len(pushed)

    def _force(self, frames: set[int]) -> None:
        """Force the uids of these frames to disk, but for their names."""
        for frame in frames & self._unforced:
            sync_file(self._uids(frame))
            self._unforced.discard(frame)

    def _is_kept(self, portion: Portion) -> bool:
        return portion.frame in self.kept and portion.part < self.kept[portion.frame].parts

    def _unneeded(self, frame: int) -> bool:
        """Whether no pull needs the uids of a frame: it and its neighbours were pulled for the last time."""
        if not self.kept[frame].final:
            return False
        sides = (frame - 1, frame + 1)
        return all(
            each < 0 or (each in self.pulled and (each not in self.kept or self.kept[each].final)) for each in sides
        )

    def _looked(self, frame: int, kept: Kept, *, final: bool) -> None:
        """Note that a frame was looked at: by the time of its file, and by its name if that was the last look."""
        file = self._space.seen.file(Portion(frame))
        if final and not kept.final:
            file.replace(self._space.final.file(Portion(frame)))
            kept.final = True
        elif not final:
            at = self._space.grid.start(frame + 1) + kept.age
            os.utime(file, (at, at))

    def _know(self) -> None:
        own = Intervals.of((portion.frame, portion.frame) for portion in self._there if not portion.part)
        self.pulled = own | self.proofs.frames

    def _load_uids(self, portion: Portion, file: Path, *, final: bool) -> None:
        if portion.frame not in self.pulled:
            log.warning("uids_removed", file=file.name, reason="there is neither its frame nor its proof")
            file.unlink()
            return
        if final and portion.frame in self.kept:  # a crash came before its newer uids got this name
            self._looked(portion.frame, self.kept[portion.frame], final=True)
            return
        try:
            seen = Seen(file)
            seen.check()
        except Damaged as error:
            self._damaged(portion.frame, file, str(error), final=final)
            return
        age = file.stat().st_mtime - self._space.grid.start(portion.frame + 1)
        self.kept[portion.frame] = Kept(seen.parts, len(seen), age, final)

    def _damaged(self, frame: int, file: Path, reason: str, *, final: bool) -> None:
        """Uids are lost, unless the file of their frame is still there: then they are taken from it.

        That a frame is final is known by the name alone. It must not be forgotten: the uids of its neighbours may be
        gone, so another look would take records for new that a neighbour had.
        """
        if not any(portion.frame == frame for portion in self._there):
            log.warning("uids_damaged", file=file.name, reason=reason, effect="late records may be pushed again")
        elif final:
            self._torn.add(frame)
            return
        file.unlink()

    def _mend(self, portion: Portion) -> None:
        """Add the uids of a file that was written just before a crash."""
        gathered, file = Gathered(), self._space.frames.file(portion)
        age = 0.0
        try:
            for line in lines(file):
                if isinstance(line, End):
                    age = line.age_seconds
                else:
                    gathered.add(line.uid, line.digest)
        except (Damaged, ValueError) as error:
            log.warning("frame_damaged", file=file.name, reason=str(error), effect="it is pulled again")
            file.unlink()
            self._there.discard(portion)
            self._know()
            return
        old = self.kept.get(portion.frame)
        seen = Seen(self._uids(portion.frame)) if old else None
        uids = self._space.seen.file(Portion(portion.frame))
        count = gathered.write(uids, portion.part + 1, bytearray(b"\1" * gathered.lines), seen)
        self._unforced.add(portion.frame)
        final = portion.frame in self._torn or bool(old and old.final)
        kept = self.kept[portion.frame] = Kept(portion.part + 1, count, age, final=False)
        self._looked(portion.frame, kept, final=final)
        self._torn.discard(portion.frame)

    def _uids(self, frame: int) -> Path:
        folder = self._space.final if self.kept[frame].final else self._space.seen
        return folder.file(Portion(frame))
