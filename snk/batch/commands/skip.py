"""``snk batch skip``: settle a run without running it."""

from snk.batch.commands.common import Reason, Run, done, me
from snk.batch.platform import operations
from snk.options import Config


def skip(run: Run, *, reason: Reason, config: Config = None) -> None:
    """Decide that a run is not run, or not run again; it counts as cancelled."""
    done(config, lambda connection: operations.skip(connection, run, me(), reason))
    print(f"run {run} is CANCELLED")
