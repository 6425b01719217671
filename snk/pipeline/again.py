"""Frames that a person wants to be pulled and pushed once more, because the receiving end lacks records of them.

A wish is a file in the space of pull. Pull asks the source for the frame as it is now, and stores all its records as a
further portion, whatever was pushed before. The receiving server recognises what it has; its proof replaces those of
all earlier portions.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from time import time, time_ns

from snk.pipeline import space as spaces
from snk.pipeline.frame import Portion, written
from snk.pipeline.space import Space


@dataclass(frozen=True, slots=True)
class Again:
    """One wish.

    Attributes:
        suffix: what the Idempotency-Keys of the records end with this time; empty if they are the same as before.
        at: when it was made, in UTC.
        number: another one for each wish.
    """

    suffix: str = ""
    at: str = ""
    number: int = 0


def wish(space: Space, frames: Iterable[int], *, new_keys: bool) -> None:
    """Have frames pulled and pushed once more.

    Raises:
        OSError: that cannot be written.
    """
    at = written(time())
    again = Again(f"~{at}" if new_keys else "", at, time_ns())
    for frame in frames:
        spaces.replace(space.again.file(Portion(frame)), json.dumps(asdict(again)).encode() + b"\n")


def wished(space: Space, frame: int) -> Again | None:
    """The wish about a frame; None if there is none."""
    try:
        return Again(**json.loads(space.again.file(Portion(frame)).read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError):
        return Again()  # it cannot be read, and was meant all the same


def granted(space: Space, frame: int, again: Again) -> None:
    """A frame was pulled once more; another wish about it, which was made meanwhile, stays."""
    if wished(space, frame) == again:
        space.again.file(Portion(frame)).unlink(missing_ok=True)
