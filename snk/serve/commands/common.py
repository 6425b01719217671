"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[Path | None, typer.Option(help="File of settings; default: SNK_CONFIG, or snk.toml.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
