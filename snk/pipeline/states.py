"""What has become of each frame, as a look at both spaces found it. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from snk.core.intervals import NOTHING, Intervals
from snk.pipeline.frame import Portion

State = Literal["not due", "done", "late", "pulled", "given up", "missing", "quarantined"]
"""Of a frame: done, done with records that came late, waiting to be pushed, set aside, and so on."""
STATES: tuple[State, ...] = get_args(State)
"""The one that a person should see before those before it comes after them."""
CODE = {state: code for code, state in enumerate(STATES)}


@dataclass(frozen=True, slots=True)
class Waiting:
    """A portion that was pulled and is not done.

    Attributes:
        again: whether it holds all records of its frame, to be sent once more.
    """

    portion: Portion
    again: bool = False


@dataclass(frozen=True, slots=True)
class Frames:
    """What became of all frames.

    Attributes:
        due: those that should have been pulled by now.
        done: those with a proof, and those whose proofs are removed.
        waiting: what was pulled and is not done.
        late: those with records that came late and are pushed.
        dropped: those of which a person gave something up.
        aside: those of which something is in quarantine.
    """

    due: Intervals = NOTHING
    done: Intervals = NOTHING
    waiting: tuple[Waiting, ...] = ()
    late: frozenset[int] = frozenset()
    dropped: frozenset[int] = frozenset()
    aside: frozenset[int] = frozenset()

    def states(self, low: int, high: int) -> bytearray:
        """The codes of the states of the frames from ``low`` to before ``high``."""
        codes = bytearray(max(0, high - low))
        _fill(codes, self.due, low, CODE["missing"])
        _fill(codes, self.done, low, CODE["done"])
        _mark(codes, self.late, low, CODE["late"])
        for each in self.waiting:
            late = each.portion.part and not each.again
            _mark(codes, (each.portion.frame,), low, CODE["late" if late else "pulled"])
        _mark(codes, self.dropped, low, CODE["given up"])
        _mark(codes, self.aside, low, CODE["quarantined"])
        return codes

    def state(self, frame: int) -> State:
        """The state of one frame."""
        return STATES[self.states(frame, frame + 1)[0]]


def _fill(codes: bytearray, frames: Intervals, low: int, code: int) -> None:
    for first, last in frames.above(low - 1).up_to(low + len(codes) - 1).pairs:
        codes[first - low : last - low + 1] = bytes([code]) * (last - first + 1)


def _mark(codes: bytearray, frames: Iterable[int], low: int, code: int) -> None:
    for frame in frames:
        if 0 <= frame - low < len(codes):
            codes[frame - low] = code
