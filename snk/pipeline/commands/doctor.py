"""``snk pipeline doctor``: checks what the pipeline needs."""

import typer
import uvloop

from snk.findings import tell
from snk.options import Config, Json
from snk.pipeline.doctor import examine
from snk.pipeline.settings import load_settings


def doctor(*, as_json: Json = False, config: Config = None) -> None:
    """Check the folders and both servers; change nothing. Exit code 0 if nothing prevents the work, 1 otherwise."""
    settings = load_settings(config)
    healthy = uvloop.run(tell(examine(settings), as_json=as_json))
    raise typer.Exit(0 if healthy else 1)
