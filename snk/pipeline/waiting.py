"""The portions that wait to be pushed, and which of them is next. Pure."""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from snk.core.intervals import Intervals
from snk.pipeline.frame import Portion
from snk.pipeline.schedule import Turns


class Waiting:
    """Portions that were pulled and are not proven, nor set aside, nor being pushed.

    Attributes:
        frames: the numbers of their frames.
    """

    def __init__(self, turns: Turns) -> None:
        self.frames = Intervals()
        self._turns = turns
        self._portions: dict[int, list[Portion]] = {}
        self._begun: list[Portion] = []

    def see(self, portions: Iterable[Portion], begun: AbstractSet[Portion]) -> None:
        """These wait now.

        Args:
            portions: all of them.
            begun: those of which records were pushed before, among others that do not wait.
        """
        self._portions = {}
        for portion in sorted(portions):
            self._portions.setdefault(portion.frame, []).append(portion)
        self._begun = [portion for those in self._portions.values() for portion in those if portion in begun]
        self.frames = Intervals.of((frame, frame) for frame in self._portions)

    def choose(self, held: Intervals) -> Portion | None:
        """The portion that is pushed next: one that was begun, or one of the next frame; it does not wait any more.

        Args:
            held: frames that must wait longer.
        """
        begun = next((portion for portion in self._begun if portion.frame not in held), None)
        free = self.frames - held
        if begun is None and not free:
            return None
        portion = begun or self._portions[self._turns.choose(free)][0]
        self._begun = [each for each in self._begun if each != portion]
        rest = [each for each in self._portions[portion.frame] if each != portion]
        self._portions[portion.frame] = rest
        if not rest:
            del self._portions[portion.frame]
            self.frames = self.frames.without([portion.frame])
        return portion
