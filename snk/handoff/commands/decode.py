"""``snk handoff decode``: read a file of lines, whatever its name."""

import json
from pathlib import Path
from typing import Annotated

import typer

from snk.errors import SettingsError
from snk.handoff.codecs.hustdb import Hustdb, KeyForm
from snk.handoff.codecs.jsonl import Jsonl
from snk.handoff.request import BadLine, Codec


def decode(
    file: Annotated[Path, typer.Argument(help="A log, or - for standard input.")],
    *,
    codec: Annotated[str, typer.Option(help="hustdb or jsonl.")] = "hustdb",
    key_form: Annotated[str, typer.Option(help="raw or wire; of hustdb.")] = "raw",
    values: Annotated[
        bool, typer.Option("--values", help="Show what is written, too: it may be confidential.")
    ] = False,
) -> None:
    """Print each line of a log as one JSON object. Exit code 0 if all can be sent, 1 if some cannot."""
    reading = _codec(codec, key_form)
    bad = 0
    try:
        with (Path("/dev/stdin") if str(file) == "-" else file).open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    if not line.endswith(b"\n"):
                        raise BadLine("the line has no end")  # noqa: TRY301 - as the codec would
                    told = reading.decode(line[:-1]).shown(values=values)
                except BadLine as error:
                    bad += 1
                    told = {"bad": str(error)}
                print(json.dumps({"line": number, **told}, ensure_ascii=False))
    except OSError as error:
        raise SettingsError(f"{str(file)!r} cannot be read: {error.strerror}", hint="Name a file") from None
    raise typer.Exit(1 if bad else 0)


def _codec(codec: str, key_form: str) -> Codec:
    forms: dict[str, KeyForm] = {"raw": "raw", "wire": "wire"}
    if codec == "jsonl":
        return Jsonl()
    if codec != "hustdb" or key_form not in forms:
        raise SettingsError(
            f"The codec {codec!r} with the key form {key_form!r}", hint="Use hustdb with raw or wire, or jsonl"
        )
    return Hustdb(forms[key_form])
