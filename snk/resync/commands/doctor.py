"""``snk resync doctor``: check what the re-sync needs."""

import typer
import uvloop

from snk.findings import tell
from snk.options import Config, Json
from snk.resync.commands.common import place
from snk.resync.doctor import examine


def doctor(*, as_json: Json = False, config: Config = None) -> None:
    """Check servers, names and rights. Changes nothing; exit code 1 if anything prevents a check."""
    raise typer.Exit(0 if uvloop.run(tell(examine(place(config)), as_json=as_json)) else 1)
