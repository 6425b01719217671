"""``snk serve doctor``: check what the service needs."""

import typer
import uvloop

from snk.findings import tell
from snk.options import Config, Json
from snk.serve.doctor import examine
from snk.serve.settings import load_settings


def doctor(*, as_json: Json = False, config: Config = None) -> None:
    """Check datasets, rights and keys. Changes nothing; exit code 1 if anything keeps requests from being served."""
    raise typer.Exit(0 if uvloop.run(tell(examine(load_settings(config)), as_json=as_json)) else 1)
