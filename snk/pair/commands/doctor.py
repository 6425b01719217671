"""``snk doctor``: check a pair before the first run."""

import typer
import uvloop

from snk.findings import tell
from snk.options import Json
from snk.pair.commands.common import pair_of, start
from snk.pair.doctor import examine


def doctor(
    *,
    as_json: Json = False,
) -> None:
    """Check servers, rights, tables and Redis. Changes nothing; exit code 1 if anything prevents SNK from running."""
    settings = start()
    findings = examine(pair_of(settings), settings.redis_dsn, settings.snk_connections)
    raise typer.Exit(0 if uvloop.run(tell(findings, as_json=as_json)) else 1)
