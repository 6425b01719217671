"""``snk handoff dead``: look at dead letters, send them again, or delete them."""

import json
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from snk.core.words import counted
from snk.errors import SettingsError
from snk.handoff.commands.common import Config, Json, checked_backend
from snk.handoff.dead import DeadLetter, DeadLetters
from snk.handoff.log import Log
from snk.handoff.request import BadLine
from snk.handoff.settings import Handoff, load_settings
from snk.handoff.state import State

Names = Annotated[list[str] | None, typer.Argument(help="Names of dead letters, as `list` shows them.")]
Every = Annotated[bool, typer.Option("--all", help="All dead letters.")]
Of = Annotated[str | None, typer.Option("--backend", metavar="HOST:PORT", help="With --all: of this backend only.")]


def group(_: Sequence[str]) -> typer.Typer:
    """The commands."""
    app = typer.Typer(help="Lines that cannot be sent: look at them, send them again, or delete them.")
    app.command("list")(listed)
    for command in (show, replay, drop):
        app.command()(command)
    return app


def listed(
    backend: Annotated[str | None, typer.Argument(metavar="[HOST:PORT]", help="Of this backend only.")] = None,
    *,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """List dead letters. Exit code 0 if there are none, 1 if there are some."""
    found = list(_letters(load_settings(config)).all(checked_backend(backend) if backend else None))
    if as_json:
        print(json.dumps([{"name": name, **letter.as_json} for name, letter in found]))
    else:
        for name, letter in found:
            print(f"{name}  {_told(letter)}")
        print("no dead letters" if not found else counted(len(found), "dead letter"))
    raise typer.Exit(1 if found else 0)


def show(
    name: Annotated[str, typer.Argument(help="The name of a dead letter, as `list` shows it.")],
    *,
    values: Annotated[
        bool, typer.Option("--values", help="Show what is written, too: it may be confidential.")
    ] = False,
    raw: Annotated[bool, typer.Option("--raw", help="Only the line, as it was in the log.")] = False,
    config: Config = None,
) -> None:
    """Show a dead letter: why it is here, and what it says."""
    settings = load_settings(config)
    letter, line = _letters(settings).get(name)
    if raw:
        sys.stdout.buffer.write(line + b"\n")
        return
    print(json.dumps(letter.as_json, ensure_ascii=False, indent=2))
    try:
        print(json.dumps(settings.coding.decode(line).shown(values=values), ensure_ascii=False, indent=2))
    except BadLine as error:
        print(f"can never be sent: {error}")


def replay(names: Names = None, *, every: Every = False, backend: Of = None, config: Config = None) -> None:
    """Put dead letters back into the present log of their backend, so that they are sent again."""
    settings = load_settings(config)
    letters = _letters(settings)
    chosen = _chosen(letters, names, every=every, backend=backend)
    with Log(settings.logs, settings.coding) as log:
        for name in chosen:
            letter, line = letters.get(name)
            if b"\n" in line or not line:
                raise SettingsError(f"{name} is not one line", hint="Delete it with `snk handoff dead drop`")
            log.append_raw(letter.backend, line)
            letters.drop(name)  # after the line is on disk: a crash in between sends it twice, and loses nothing
    print(f"{len(chosen):,} put back into the log")


def drop(names: Names = None, *, every: Every = False, backend: Of = None, config: Config = None) -> None:
    """Delete dead letters for good."""
    letters = _letters(load_settings(config))
    chosen = _chosen(letters, names, every=every, backend=backend)
    for name in chosen:
        letters.drop(name)
    print(f"{len(chosen):,} deleted")


def _letters(settings: Handoff) -> DeadLetters:
    return DeadLetters(State(settings.state).dead)


def _chosen(letters: DeadLetters, names: list[str] | None, *, every: bool, backend: str | None) -> list[str]:
    if bool(names) == every or (backend and not every):
        raise SettingsError("Which dead letters?", hint="Give their names, or --all, and then --backend if you like")
    if every:
        return [name for name, _ in letters.all(checked_backend(backend) if backend else None)]
    for name in names or ():
        letters.get(name)  # nothing is done if one does not exist
    return names or []


def _told(letter: DeadLetter) -> str:
    return f"{letter.log}:{letter.line}  {letter.reason}"
