"""What the forms of the pipeline do: exactly what the commands of the same names do."""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from functools import partial

from snk.core.words import counted
from snk.errors import SettingsError
from snk.http.portal.page import Done, Form
from snk.pipeline import aside
from snk.pipeline.aside import Aside, all_aside, named
from snk.pipeline.frame import Portion
from snk.pipeline.repeating import repeat
from snk.pipeline.space import Space

ALL = "all"
"""Stands for everything that is in quarantine where a name is expected."""


class Doing:
    """The actions on frames of one space."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self._one_at_a_time = asyncio.Lock()

    def wanted(self, name: str) -> list[Aside]:
        """What is in quarantine and meant.

        Raises:
            SettingsError: nothing of this name is in quarantine.
        """
        return list(all_aside(self._space)) if name == ALL else named(self._space, [name])

    async def again(self, form: Form, path: str) -> Done:
        """Have a frame pulled and pushed once more."""
        name = path.split("/")[2]
        frame = self.frame(name)
        try:
            await asyncio.to_thread(repeat, self._space, [frame], new_keys="new_keys" in form)
        except SettingsError as error:
            return Done(str(error), f"/frames/{name}", ok=False)
        return Done("The frame will be pulled and pushed again.", f"/frames/{name}")

    async def retry(self, form: Form, path: str) -> Done:
        """Let what is in quarantine be tried again."""
        async with self._one_at_a_time:
            found = self._confirmed(form, path)
            await _written(aside.retry, found)
        return Done(f"{counted(len(found), 'frame')} will be tried again.", self._after(path))

    async def drop(self, form: Form, path: str) -> Done:
        """Give up what is in quarantine."""
        async with self._one_at_a_time:
            found = self._confirmed(form, path)
            await _written(partial(aside.drop, self._space), found)
        return Done(f"{counted(len(found), 'frame')} given up.", self._after(path))

    def frame(self, name: str) -> int:
        """The number of a frame by its name in addresses.

        Raises:
            SettingsError: no frame is called so.
        """
        portion = self._space.grid.portion(name)
        if portion is None or portion.part:
            hint = f"Frames start every {self._space.grid.seconds} s from {self._space.grid.iso(0)}"
            raise SettingsError(f"{name!r} is no frame", hint=hint)
        return portion.frame

    def _confirmed(self, form: Form, path: str) -> list[Aside]:
        """What was shown when it was confirmed, if it is still the same."""
        found = self.wanted(path.split("/")[2])
        if form.get("seen") != mark(found):
            raise SettingsError("What is in quarantine has changed", hint="Look again, and confirm that")
        return found

    def _after(self, path: str) -> str:
        """The page that is shown next."""
        name = path.split("/")[2]
        portion = self._space.grid.portion(name)
        return f"/frames/{self._space.grid.name(Portion(portion.frame))}" if portion else "/quarantine"


async def _written(write: Callable[[Sequence[Aside]], None], found: Sequence[Aside]) -> None:
    """Change files in a thread.

    Raises:
        SettingsError: they cannot be changed.
    """
    try:
        await asyncio.to_thread(write, found)
    except OSError as error:
        raise SettingsError(f"The files of the pipeline cannot be changed: {error.strerror}") from None


def mark(found: Sequence[Aside]) -> str:
    """Stands for exactly these portions with these reasons."""
    told = "\n".join(f"{each.name} {each.reason.at} {each.reason.reason}" for each in found)
    return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:16]
