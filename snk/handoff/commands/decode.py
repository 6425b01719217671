"""``snk handoff decode``: read a file of lines, whatever its name."""

from pathlib import Path
from typing import Annotated

import typer

from snk.core.shown import document
from snk.errors import SettingsError
from snk.handoff.codecs.hustdb import Hustdb, KeyForm
from snk.handoff.codecs.jsonl import Jsonl
from snk.handoff.commands.common import printing
from snk.handoff.request import BadLine, Codec
from snk.handoff.settings import load_coding
from snk.options import Config


def decode(
    file: Annotated[Path, typer.Argument(help="A log, or - for standard input.")],
    *,
    codec: Annotated[
        str | None, typer.Option(help="hustdb or jsonl; default: as in the file of settings, or hustdb.")
    ] = None,
    key_form: Annotated[
        str | None, typer.Option(help="raw or wire, for hustdb; default: as in the file of settings, or raw.")
    ] = None,
    values: Annotated[
        bool, typer.Option("--values", help="Show what is written, too: it may be confidential.")
    ] = False,
    config: Config = None,
) -> None:
    """Print each line of a log as one JSON object. Exit code 0 if all can be sent, 1 if some cannot."""
    reading = _codec(codec, key_form, config)
    bad = 0
    with printing():
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
                    print(document({"line": number, **told}))
        except BrokenPipeError:
            raise
        except OSError as error:
            raise SettingsError(f"{str(file)!r} cannot be read: {error.strerror}", hint="Name a file") from None
    raise typer.Exit(1 if bad else 0)


def _codec(codec: str | None, key_form: str | None, config: Path | None) -> Codec:
    """How lines are read: as the options say, and else as the settings do."""
    usual = Hustdb() if codec and key_form and config is None else load_coding(config)
    name = codec or ("jsonl" if isinstance(usual, Jsonl) else "hustdb")
    form = key_form or (usual.key_form if isinstance(usual, Hustdb) else "raw")
    forms: dict[str, KeyForm] = {"raw": "raw", "wire": "wire"}
    if name not in ("hustdb", "jsonl") or form not in forms or (name == "jsonl" and key_form is not None):
        told = f"codec {name!r} with key form {form!r}"
        raise SettingsError(f"There is no {told}", hint="Use hustdb with raw or wire, or jsonl without a key form")
    return Jsonl() if name == "jsonl" else Hustdb(forms[form])
