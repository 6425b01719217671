"""``snk batch cancel``: end a run that is under way."""

from snk.batch.commands.common import Reason, Run, done, me
from snk.batch.platform import operations
from snk.options import Config


def cancel(run: Run, *, reason: Reason, config: Config = None) -> None:
    """End a run that is under way, and the runs of its tasks if it is that of a group."""
    done(config, lambda connection: operations.cancel(connection, run, me(), reason))
    print(f"run {run} is CANCELLED")
