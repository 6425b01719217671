"""``snk batch pause``: have nothing of a task called any more."""

from snk.batch.commands.common import Name, Reason, done, me
from snk.batch.platform import pausing
from snk.options import Config


def pause(name: Name, *, reason: Reason, config: Config = None) -> None:
    """Have no consumer called for a task, or by runs of a group, until `snk batch resume`."""
    done(config, lambda connection: pausing.pause(connection, name, me(), reason))
    print(f"{name} is paused")
