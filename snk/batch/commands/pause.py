"""``snk batch pause``: have nothing of a task called any more."""

from snk.batch.commands.common import Name, Reason, done, me
from snk.batch.platform import pausing
from snk.core.moments import stamp
from snk.core.shown import plain
from snk.options import Config


def pause(name: Name, *, reason: Reason, config: Config = None) -> None:
    """Have no consumer called for a task, or by runs of a group, until `snk batch resume`."""
    before = done(config, lambda connection: pausing.pause(connection, name, me(), reason))
    print(f"{name} is paused")
    if before:
        note = f": {before.note}" if before.note else ""
        print(plain(f"this replaces the pause by {before.who} since {stamp(before.at)}{note}"))
