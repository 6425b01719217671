"""``snk batch resume``: take a pause back."""

from snk.batch.commands.common import Name, Reason, done, me
from snk.batch.platform import pausing
from snk.options import Config


def resume(name: Name, *, reason: Reason = "", config: Config = None) -> None:
    """Take a pause back."""
    before = done(config, lambda connection: pausing.resume(connection, name, me(), reason))
    print(f"{name} is resumed" if before else f"{name} was not paused")
