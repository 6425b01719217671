"""``snk batch rerun``: run again what failed."""

from typing import Annotated

import typer

from snk.batch.commands.common import Reason, Run, done, me
from snk.batch.platform import operations
from snk.options import Config


def rerun(
    run: Run,
    *,
    reason: Reason,
    whole: Annotated[bool, typer.Option("--whole", help="All files, not only those that failed.")] = False,
    config: Config = None,
) -> None:
    """Run the files of a run that failed again, or the tasks of a group that did."""
    done(config, lambda connection: operations.rerun(connection, run, me(), reason, whole=whole))
    print(f"run {run} is WAITING")
