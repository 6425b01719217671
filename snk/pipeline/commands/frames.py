"""Frames as they are named on the command line."""

from datetime import datetime

from snk.errors import SettingsError
from snk.pipeline.frame import Grid


def frame_of(what: str, given: str, grid: Grid) -> int:
    """The number of the frame that starts at a moment.

    Args:
        what: the option or argument, for messages.
        given: the moment, such as ``2026-11-25T00:00:00Z``.
        grid: the frames.

    Raises:
        SettingsError: it is no moment, or none starts there.
    """
    hint = "Write it as 2026-11-25T00:00:00Z"
    try:
        at = datetime.fromisoformat(given)
    except ValueError:
        raise SettingsError(f"{what} is {given!r}", hint=hint) from None
    if at.tzinfo is None:
        raise SettingsError(f"{what} is {given!r}, without a time zone", hint=hint)
    number, rest = divmod(at.timestamp() - grid.base, grid.seconds)
    if rest or number < 0:
        hint = f"Frames start every {grid.seconds} s from {grid.iso(0)}"
        raise SettingsError(f"{what} is {given!r}, where no frame starts", hint=hint)
    return int(number)
