"""What the files of both spaces tell of one frame."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from snk.core.canonical import Digest
from snk.pipeline.again import Again, wished
from snk.pipeline.aside import Aside, of_portion
from snk.pipeline.frame import Portion
from snk.pipeline.framefile import End, last_line
from snk.pipeline.loaded import read_loaded
from snk.pipeline.proof import Done, combined
from snk.pipeline.report import Report
from snk.pipeline.seen import Damaged
from snk.pipeline.space import Space
from snk.pipeline.states import State
from snk.pipeline.status import Recent

MOST_PORTIONS = 50
MOST_UID_BYTES = 8 * 2**20
"""Of a larger UID file the records are not counted while somebody looks."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A frame itself, or a supplement.

    Attributes:
        name: for addresses.
        end: what its file says; None if there is none, or it is damaged.
        bytes: of its file; None if there is none.
        acknowledged: records that the receiving server has acknowledged so far; None if they were not counted.
        done: its proof.
        aside: why it is in quarantine; there is one for each of both spaces.
    """

    portion: Portion
    name: str
    end: End | None
    bytes: int | None
    acknowledged: int | None
    done: Done | None
    aside: tuple[Aside, ...]

    @property
    def title(self) -> str:
        """What it is."""
        return f"Supplement {self.portion.part}" if self.portion.part else "The frame itself"


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a frame.

    Attributes:
        name: for addresses.
        start: where it starts.
        end: where it ends.
        pieces: the first of them.
        more: how many others there are.
        proven: of all its proofs that count; None if it has none.
        parts: how many proofs count.
        ambiguous: requests whose answers were lost, and which were sent again.
        stored: records that the receiving server had from before.
        loaded: whether the database of the receiving server holds it; None if the server does not tell.
        failing: what pull and push say about it, by their names.
        again: whether a person wants it to be pulled once more, and that has not happened yet.
        repeatable: whether it may be.
        forgotten: whether its proofs are removed.
    """

    name: str
    start: str
    end: str
    state: State
    pieces: tuple[Piece, ...]
    more: int
    proven: Digest | None
    parts: int
    ambiguous: int
    stored: int
    loaded: bool | None
    failing: dict[str, str]
    again: Again | None
    repeatable: bool
    forgotten: bool

    @property
    def dropped(self) -> str:
        """Why a person gave something of it up; empty if nobody did."""
        return next((piece.done.dropped for piece in self.pieces if piece.done and piece.done.dropped), "")

    @property
    def verify(self) -> str:
        """The command that compares it with both servers."""
        return f"snk pipeline verify --from {self.start} --to {self.end}"


def known_of(space: Space, recent: Recent, frame: int) -> Known:
    """What is known of a frame."""
    status, frames = recent.status(), recent.frames()
    proofs = recent.watcher.proofs_of(frame)
    pieces = sorted({Portion(frame)} | set(proofs) | set(_there(space, frame)))
    counting = _counting(list(proofs.values()))
    iso, forgotten = space.grid.iso(frame), frame < recent.watcher.floor
    return Known(
        space.grid.name(Portion(frame)),
        iso,
        space.grid.iso(frame + 1),
        frames.state(frame),
        tuple(_piece(space, portion, proofs.get(portion)) for portion in pieces[:MOST_PORTIONS]),
        max(0, len(pieces) - MOST_PORTIONS),
        combined(counting) if counting else None,
        len(counting),
        sum(done.ambiguous for done in counting) + _ambiguous(status.push, space, pieces, proofs),
        sum(done.stored for done in counting),
        None if status.loaded is None else frame in read_loaded(space),
        dict(_failing(status.pull, status.push, iso)),
        wished(space, frame),
        frame in frames.done and not forgotten,
        forgotten,
    )


def _counting(proofs: list[Done]) -> list[Done]:
    """The proofs that count: of a frame that was sent again, only that and what came later."""
    last = max((at for at, done in enumerate(proofs) if done.again), default=0)
    return proofs[last:]


def _there(space: Space, frame: int) -> Iterator[Portion]:
    """The portions of a frame of which there is a file; their numbers follow each other but for those done."""
    folders = (space.frames, space.unfit, space.refused)
    for part in range(MOST_PORTIONS):
        portion = Portion(frame, part)
        if any(folder.file(portion).exists() for folder in folders):
            yield portion


def _piece(space: Space, portion: Portion, done: Done | None) -> Piece:
    name, size = space.grid.name(portion), _size(space.frames.file(portion))
    end, counted = end_of(space, portion), acknowledged(space, portion)
    return Piece(portion, name, end, size, counted, done, tuple(of_portion(space, portion)))


def end_of(space: Space, portion: Portion) -> End | None:
    """What the file of a portion says of it; None if there is none, or it is damaged."""
    with suppress(Damaged, OSError):
        return last_line(space.frames.file(portion))
    return None


def acknowledged(space: Space, portion: Portion) -> int | None:
    """How many records of a portion the receiving server has acknowledged; None if they are too many to be counted."""
    file = space.uids.file(portion)
    return _lines(file) if (_size(file) or 0) <= MOST_UID_BYTES else None


def _ambiguous(push: Report, space: Space, pieces: list[Portion], proofs: dict[Portion, Done]) -> int:
    """What push counted for portions that have no proof yet."""
    if not push.fresh:
        return 0
    return sum(push.ambiguous.get(space.grid.name(each), 0) for each in pieces if each not in proofs)


def _failing(pull: Report, push: Report, iso: str) -> Iterator[tuple[str, str]]:
    for name, told in (("pull", pull.failing if pull.fresh else {}), ("push", push.failing if push.fresh else {})):
        if iso in told:
            yield name, told[iso]
    if push.fresh and iso in push.unequal:
        yield "not in the database as sent", push.unequal[iso]


def _size(file: Path) -> int | None:
    try:
        return file.stat().st_size
    except OSError:
        return None


def _lines(file: Path) -> int:
    try:
        return file.read_bytes().count(b"\n")
    except OSError:
        return 0
