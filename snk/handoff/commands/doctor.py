"""``snk handoff doctor``: check what the hand-off needs."""

import typer
import uvloop

from snk.findings import tell
from snk.handoff.doctor import examine
from snk.handoff.settings import load_settings
from snk.options import Config, Json


def doctor(*, as_json: Json = False, config: Config = None) -> None:
    """Check folders, logs and backends. Changes nothing; exit code 1 if anything keeps lines from being sent."""
    raise typer.Exit(0 if uvloop.run(tell(examine(load_settings(config)), as_json=as_json)) else 1)
