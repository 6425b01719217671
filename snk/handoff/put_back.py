"""Puts dead letters back into the present log of their backend, so that they are sent again."""

from typing import Any

from snk.errors import SettingsError
from snk.handoff.dead import DeadLetters
from snk.handoff.log import Log


def put_back(letters: DeadLetters, log: Log[Any], name: str) -> None:
    """Put one dead letter back; the server, which may run meanwhile, finds it as any other line.

    Raises:
        SettingsError: there is none of this name, or it is not one line.
        LogFull: there is no room for it.
        OSError: the log cannot be written.
    """
    with letters.taken(name) as (letter, line):
        if b"\n" in line or not line:
            raise SettingsError(f"{name} is not one line", hint="Delete it with `snk handoff dead drop`")
        log.append_raw(letter.backend, line)
        # It is deleted after the line is on disk: a crash in between sends it twice, and loses nothing.
