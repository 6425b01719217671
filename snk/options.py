"""Options that commands of several systems have."""

from pathlib import Path
from typing import Annotated, Literal

import typer

Config = Annotated[Path | None, typer.Option(help="File of settings; default: SNK_CONFIG, or snk.toml.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
LogFormat = Annotated[Literal["console", "json"], typer.Option(help="How the log is written.")]
