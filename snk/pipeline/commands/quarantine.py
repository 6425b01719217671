"""``snk pipeline quarantine``: frames that were set aside, and what becomes of them."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from snk.core.plan import Question, confirmed
from snk.core.shown import plain
from snk.core.words import counted
from snk.errors import SettingsError
from snk.options import Config, Json
from snk.pipeline import aside
from snk.pipeline.aside import Aside, all_aside, named, shown
from snk.pipeline.settings import load_settings
from snk.pipeline.setup import space_of
from snk.pipeline.space import Space
from snk.terminal import answer

Frames = Annotated[
    list[str] | None,
    typer.Argument(metavar="[FRAME]...", help="Where it starts, such as 2026-11-25T00:00:00Z; .1 is its supplement."),
]
All = Annotated[bool, typer.Option("--all", help="All that are in quarantine.")]


def group(_: Sequence[str]) -> typer.Typer:
    """The commands about frames in quarantine."""
    app = typer.Typer(help="Frames that were set aside with a reason.", no_args_is_help=True, rich_markup_mode=None)
    app.command("list")(list_all)
    for command in (show, retry, drop):
        app.command()(command)
    return app


def list_all(*, as_json: Json = False, config: Config = None) -> None:
    """List what is in quarantine. Exit code 0 if nothing is, 1 if something is."""
    found = list(all_aside(space_of(load_settings(config))))
    if as_json:
        print(json.dumps([asdict(each.reason) for each in found]))
    else:
        _list(found)
    raise typer.Exit(1 if found else 0)


def show(frames: Frames = None, *, all_of_them: All = False, as_json: Json = False, config: Config = None) -> None:
    """Show why frames are in quarantine, and their first records."""
    space = space_of(load_settings(config))
    found = [(each, list(shown(space, each))) for each in _wanted(space, frames, all_of_them)]
    if as_json:
        print(json.dumps([{**asdict(each.reason), "records": dict(records)} for each, records in found]))
        return
    for each, records in found:
        reason = each.reason
        print(plain(f"{each.name}, since {reason.at}: {reason.reason}"))
        if reason.uid:
            print(plain(f"  uid of the record: {reason.uid}"))
        for number, text in records:
            print(plain(f"  {number}: {text}"))


def retry(frames: Frames = None, *, all_of_them: All = False, config: Config = None) -> None:
    """Let frames be tried again, after you have removed the cause."""
    space = space_of(load_settings(config))
    found = _wanted(space, frames, all_of_them)
    aside.retry(found)
    print(f"{counted(len(found), 'frame')} will be tried again")


def drop(
    frames: Frames = None,
    *,
    all_of_them: All = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: Config = None,
) -> None:
    """Give frames up: what was not pushed of them never will be. Their Done files say so."""
    space = space_of(load_settings(config))
    found = _wanted(space, frames, all_of_them)
    question = Question(f"Give up {counted(len(found), 'frame')}?")
    if found and not yes and not confirmed(question, answer, lambda: _list(found), print):
        raise typer.Exit(1)
    aside.drop(space, found)
    print(f"{counted(len(found), 'frame')} given up")


def _list(found: Sequence[Aside]) -> None:
    for each in found:
        print(plain(f"{each.name}  {each.reason.at}  {each.reason.reason}"))


def _wanted(space: Space, frames: list[str] | None, all_of_them: bool) -> list[Aside]:
    """What is named on the command line.

    Raises:
        SettingsError: nothing is named, or something that is not in quarantine.
    """
    if all_of_them:
        return list(all_aside(space))
    if not frames:
        raise SettingsError("No frame is named", hint="Name some, or use --all")
    return named(space, frames)
