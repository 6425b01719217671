"""What is in quarantine in both spaces, and what a person does about it: tries it again, or gives it up."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from snk.errors import SettingsError
from snk.pipeline.dropping import drop_portion
from snk.pipeline.frame import Portion
from snk.pipeline.framefile import Line, lines
from snk.pipeline.quarantine import Quarantine, Reason
from snk.pipeline.seen import Damaged
from snk.pipeline.space import Space

SHOWN_RECORDS = 5


@dataclass(frozen=True, slots=True)
class Aside:
    """A portion that is in quarantine."""

    quarantine: Quarantine
    portion: Portion
    reason: Reason

    @property
    def name(self) -> str:
        """Where its frame starts, and the number of the supplement if it is one."""
        return f"{self.reason.frame}.{self.portion.part}" if self.portion.part else self.reason.frame


def all_aside(space: Space) -> Iterator[Aside]:
    """Everything that is in quarantine."""
    for folder in (space.unfit, space.refused):
        quarantine = Quarantine(folder)
        for portion in sorted(quarantine.portions()):
            with suppress(FileNotFoundError):
                yield Aside(quarantine, portion, _reason(space, quarantine, portion))


def _reason(space: Space, quarantine: Quarantine, portion: Portion) -> Reason:
    try:
        return quarantine.reason(portion)
    except (ValueError, TypeError):
        return Reason(space.grid.iso(portion.frame), portion.part, "its file in quarantine cannot be read")


def of_portion(space: Space, portion: Portion) -> Iterator[Aside]:
    """What is in quarantine of one portion."""
    for folder in (space.unfit, space.refused):
        quarantine = Quarantine(folder)
        with suppress(FileNotFoundError):
            yield Aside(quarantine, portion, _reason(space, quarantine, portion))


def named(space: Space, names: Sequence[str]) -> list[Aside]:
    """What these names stand for.

    Raises:
        SettingsError: one is not in quarantine.
    """
    found, wanted = list(all_aside(space)), []
    for name in names:
        portion = space.grid.portion(name.replace("-", "").replace(":", ""))
        some = [each for each in found if each.portion == portion]
        if not some:
            raise SettingsError(f"{name!r} is not in quarantine", hint="See `snk pipeline quarantine list`")
        wanted += some
    return wanted


def shown(space: Space, aside: Aside, most: int | None = None) -> Iterator[tuple[int, str]]:
    """The first records of a portion, and the one that is to blame, by their numbers; as far as its file is whole.

    Args:
        space: both spaces.
        aside: the portion.
        most: so many records are looked at for the one that is to blame; all if None.
    """
    with suppress(Damaged, OSError):
        for line in islice(lines(space.frames.file(aside.portion)), most):
            if isinstance(line, Line) and (line.number < SHOWN_RECORDS or line.uid == aside.reason.uid):
                yield line.number, line.text.decode(errors="backslashreplace")


def retry(found: Sequence[Aside]) -> None:
    """Let portions be tried again."""
    for each in found:
        with suppress(FileNotFoundError):
            each.quarantine.remove(each.portion)


def drop(space: Space, found: Sequence[Aside]) -> None:
    """Give portions up: what was not pushed of them never will be."""
    for each in found:
        drop_portion(space, each.quarantine, each.portion, each.reason)
