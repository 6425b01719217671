"""Has frames pulled and pushed once more, if they are done and their proofs are there."""

from collections.abc import Sequence

from snk.errors import SettingsError
from snk.pipeline.again import wish
from snk.pipeline.proof import Proofs
from snk.pipeline.space import Space


def repeat(space: Space, frames: Sequence[int], *, new_keys: bool) -> None:
    """Have frames pulled and pushed once more.

    Args:
        space: both spaces.
        frames: their numbers.
        new_keys: whether their records are sent with other keys than before.

    Raises:
        SettingsError: one cannot be, and none will be; or the wish cannot be written.
    """
    proofs = Proofs(space)
    proofs.refresh()
    _check(space, proofs, frames)
    try:
        wish(space, frames, new_keys=new_keys)
    except OSError as error:
        raise SettingsError(f"{str(space.again.path)!r} cannot be written: {error.strerror}") from None


def _check(space: Space, proofs: Proofs, frames: Sequence[int]) -> None:
    for number in frames:
        iso = space.grid.iso(number)
        if number < proofs.floor:
            hint = f"Those before {space.grid.iso(proofs.floor)} cannot be pushed again: their proofs are removed"
            raise SettingsError(f"The proof of {iso} is gone", hint=hint)
        if number not in proofs.frames:
            raise SettingsError(f"{iso} is not done", hint="It is pushed anyway; see `snk pipeline status`")
