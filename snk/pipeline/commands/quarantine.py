"""``snk pipeline quarantine``: frames that were set aside, and what becomes of them."""

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Annotated

import typer

from snk.core.plan import Question, confirmed
from snk.core.shown import plain
from snk.core.words import counted
from snk.errors import SettingsError
from snk.options import Config, Json
from snk.pipeline.dropping import drop_portion
from snk.pipeline.frame import Portion
from snk.pipeline.framefile import Line, lines
from snk.pipeline.quarantine import Quarantine, Reason
from snk.pipeline.seen import Damaged
from snk.pipeline.settings import load_settings
from snk.pipeline.setup import space_of
from snk.pipeline.space import Space
from snk.terminal import answer

Frames = Annotated[
    list[str] | None,
    typer.Argument(metavar="[FRAME]...", help="Where it starts, such as 2026-11-25T00:00:00Z; .1 is its supplement."),
]
All = Annotated[bool, typer.Option("--all", help="All that are in quarantine.")]
SHOWN_RECORDS = 5


def group(_: Sequence[str]) -> typer.Typer:
    """The commands about frames in quarantine."""
    app = typer.Typer(help="Frames that were set aside with a reason.", no_args_is_help=True, rich_markup_mode=None)
    app.command("list")(list_all)
    for command in (show, retry, drop):
        app.command()(command)
    return app


def list_all(*, as_json: Json = False, config: Config = None) -> None:
    """List what is in quarantine. Exit code 0 if nothing is, 1 if something is."""
    found = list(_all(space_of(load_settings(config))))
    if as_json:
        print(json.dumps([asdict(reason) for _, _, reason in found]))
    else:
        _list(found)
    raise typer.Exit(1 if found else 0)


def show(frames: Frames = None, *, all_of_them: All = False, as_json: Json = False, config: Config = None) -> None:
    """Show why frames are in quarantine, and their first records."""
    space = space_of(load_settings(config))
    found = [
        (portion, reason, list(_shown(space, portion, reason)))
        for _, portion, reason in _named(space, frames, all_of_them)
    ]
    if as_json:
        print(json.dumps([{**asdict(reason), "records": dict(shown)} for _, reason, shown in found]))
        return
    for portion, reason, shown in found:
        print(plain(f"{reason.frame}{_part(portion)}, since {reason.at}: {reason.reason}"))
        if reason.uid:
            print(plain(f"  uid of the record: {reason.uid}"))
        for number, text in shown:
            print(plain(f"  {number}: {text}"))


def retry(frames: Frames = None, *, all_of_them: All = False, config: Config = None) -> None:
    """Let frames be tried again, after you have removed the cause."""
    space = space_of(load_settings(config))
    found = _named(space, frames, all_of_them)
    for quarantine, portion, _ in found:
        with suppress(FileNotFoundError):
            quarantine.remove(portion)
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
    found = _named(space, frames, all_of_them)
    question = Question(f"Give up {counted(len(found), 'frame')}?")
    if found and not yes and not confirmed(question, answer, lambda: _list(found), print):
        raise typer.Exit(1)
    for quarantine, portion, reason in found:
        drop_portion(space, quarantine, portion, reason)
    print(f"{counted(len(found), 'frame')} given up")


def _list(found: Sequence[tuple[Quarantine, Portion, Reason]]) -> None:
    for _, portion, reason in found:
        print(plain(f"{reason.frame}{_part(portion)}  {reason.at}  {reason.reason}"))


def _shown(space: Space, portion: Portion, reason: Reason) -> Iterator[tuple[int, str]]:
    """The first records of a portion, and the one that is to blame, by their numbers; as far as its file is whole."""
    with suppress(Damaged, OSError):
        for line in lines(space.frames.file(portion)):
            if isinstance(line, Line) and (line.number < SHOWN_RECORDS or line.uid == reason.uid):
                yield line.number, line.text.decode(errors="backslashreplace")


def _all(space: Space) -> Iterator[tuple[Quarantine, Portion, Reason]]:
    for folder in (space.unfit, space.refused):
        quarantine = Quarantine(folder)
        for portion in sorted(quarantine.portions()):
            with suppress(FileNotFoundError):
                yield quarantine, portion, quarantine.reason(portion)


def _named(space: Space, frames: list[str] | None, all_of_them: bool) -> list[tuple[Quarantine, Portion, Reason]]:
    """What these names stand for.

    Raises:
        SettingsError: nothing is named, or something that is not in quarantine.
    """
    found = list(_all(space))
    if all_of_them:
        return found
    if not frames:
        raise SettingsError("No frame is named", hint="Name some, or use --all")
    wanted = []
    for name in frames:
        portion = space.grid.portion(name.replace("-", "").replace(":", ""))
        some = [each for each in found if each[1] == portion]
        if not some:
            raise SettingsError(f"{name!r} is not in quarantine", hint="See `snk pipeline quarantine list`")
        wanted += some
    return wanted


def _part(portion: Portion) -> str:
    return f".{portion.part}" if portion.part else ""
