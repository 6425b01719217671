"""``snk handoff dead``: look at dead letters, send them again, or delete them."""

import json
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from snk.core.shown import document, plain
from snk.core.words import counted
from snk.errors import SettingsError
from snk.handoff.commands.common import checked_backend, printing
from snk.handoff.dead import DeadLetter, DeadLetters
from snk.handoff.log import Log
from snk.handoff.put_back import put_back
from snk.handoff.request import BadLine
from snk.handoff.settings import Handoff, load_settings
from snk.handoff.state import State
from snk.options import Config, Json

MOST_SHOWN_BYTES = 4096
"""Of a line that cannot be decoded."""

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
    settings = load_settings(config)
    found = list(_letters(settings).all(_known(settings, backend)))
    with printing():
        if as_json:
            print(json.dumps([{"name": name, **letter.as_json} for name, letter in found]))
        else:
            for name, letter in found:
                print(plain(f"{name}  {_told(letter)}"))
            print("no dead letters" if not found else counted(len(found), "dead letter"))
    raise typer.Exit(1 if found else 0)


def show(
    name: Annotated[str, typer.Argument(help="The name of a dead letter, as `list` shows it.")],
    *,
    values: Annotated[
        bool, typer.Option("--values", help="Show what is written, too: it may be confidential.")
    ] = False,
    raw: Annotated[
        bool, typer.Option("--raw", help="Print nothing but the line, byte by byte as it was in the log.")
    ] = False,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Show a dead letter: why it is here, and what it says."""
    settings = load_settings(config)
    letter, line = _letters(settings).get(name)
    with printing():
        if raw:
            sys.stdout.buffer.write(line + b"\n")
            sys.stdout.buffer.flush()
            return
        said = _said(settings, line, values=values)
        if as_json:
            print(document({"name": name, **letter.as_json, **said}))
            return
        print(document(letter.as_json, indent=2))
        if "write" in said:
            print(document(said["write"], indent=2))
        else:
            print(plain(f"can never be sent: {said['bad']}"))
            print(said.get("text", f"({counted(len(line), 'byte')}; --values shows them)"))


def _said(settings: Handoff, line: bytes, *, values: bool) -> dict[str, Any]:
    """What a line says; of one that cannot be decoded, why, and its text if values are asked for."""
    try:
        return {"write": settings.coding.decode(line).shown(values=values)}
    except BadLine as error:
        more = len(line) - MOST_SHOWN_BYTES
        rest = f" … and {counted(more, 'byte')} more; --raw prints all" if more > 0 else ""
        text = plain(line[:MOST_SHOWN_BYTES].decode("utf-8", "backslashreplace")) + rest
        return {"bad": str(error)} | ({"text": text} if values else {})


def replay(names: Names = None, *, every: Every = False, backend: Of = None, config: Config = None) -> None:
    """Put dead letters back into the present log of their backend, so that they are sent again."""
    settings = load_settings(config)
    letters = _letters(settings)
    chosen = _chosen(settings, names, every=every, backend=backend)
    with Log(settings.logs, settings.coding) as log:
        for name in chosen:
            put_back(letters, log, name)
    print(f"{len(chosen):,} put back into the log")


def drop(names: Names = None, *, every: Every = False, backend: Of = None, config: Config = None) -> None:
    """Delete dead letters for good."""
    settings = load_settings(config)
    letters = _letters(settings)
    chosen = _chosen(settings, names, every=every, backend=backend)
    for name in chosen:
        letters.drop(name)
    print(f"{len(chosen):,} deleted")


def _letters(settings: Handoff) -> DeadLetters:
    """The dead letters.

    Raises:
        SettingsError: the folder of state does not exist, or cannot be read.
    """
    state = State(settings.state)
    hint = "Is this the right file of settings? `snk handoff run` creates the folder"
    if not state.folder.is_dir():
        raise SettingsError(f"handoff.state is {str(state.folder)!r}, which is no folder", hint=hint)
    for folder in (state.folder, state.dead):
        if folder.exists() and not os.access(folder, os.R_OK | os.X_OK, effective_ids=True):
            raise SettingsError(f"{str(folder)!r} cannot be read", hint="Run this as the user of the sync server")
    return DeadLetters(state.dead)


def _known(settings: Handoff, backend: str | None) -> str | None:
    """A backend's address, if one is given.

    Raises:
        SettingsError: it is none, or nothing is known of such a backend.
    """
    if backend is None:
        return None
    folders = (State(settings.state).dead / checked_backend(backend), settings.logs / backend)
    if not any(folder.is_dir() for folder in folders):
        hint = "`snk handoff status` lists the backends"
        raise SettingsError(f"{backend} has neither logs nor dead letters", hint=hint)
    return backend


def _chosen(settings: Handoff, names: list[str] | None, *, every: bool, backend: str | None) -> list[str]:
    """The names of the dead letters that are meant, each once.

    Raises:
        SettingsError: it is not clear which ones are meant, or one does not exist.
    """
    hint = "Give names as `snk handoff dead list` shows them, or --all, or --all with --backend HOST:PORT"
    if names and every:
        raise SettingsError("Both names and --all are given", hint=hint)
    if not (names or every):
        raise SettingsError("It is not said which dead letters are meant", hint=hint)
    if backend and not every:
        raise SettingsError("--backend is given without --all", hint=hint)
    letters = _letters(settings)
    if every:
        return [name for name, _ in letters.all(_known(settings, backend))]
    chosen = list(dict.fromkeys(names or ()))
    for name in chosen:
        letters.get(name)  # nothing is done if one does not exist
    return chosen


def _told(letter: DeadLetter) -> str:
    return f"{letter.log}:{letter.line}  {letter.reason}"
