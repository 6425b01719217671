"""``snk conflicts``: list the conflicts side by side, and settle one by the word of a person."""

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Literal

import typer
import uvloop
from typer.core import TyperGroup

from snk.core.plan import Plan, Question, confirmed
from snk.errors import SettingsError
from snk.options import Json
from snk.pair.commands.common import checked_settings, databases_of, pair_of, uuid_of
from snk.pair.repair.actions import ReplaceRow
from snk.pair.repair.conflicts import KIND, Recorded, forget, last_replacement, recorded, replace, replacement
from snk.pair.sync.pair import Pair
from snk.terminal import answer


def group(_: Sequence[str]) -> typer.Typer:
    """The command and its one command."""
    app = typer.Typer(cls=TyperGroup, invoke_without_command=True, rich_markup_mode=None)
    app.callback()(conflicts)
    app.command()(resolve)
    return app


def conflicts(context: typer.Context, *, as_json: Json = False) -> None:
    """List the recorded conflicts side by side; differing columns are marked. Exit code 1 if there are any."""
    if context.invoked_subcommand:
        return
    pair = databases_of(checked_settings())
    found = uvloop.run(recorded(pair.first, pair.second))
    if as_json:
        print(json.dumps([{**asdict(each), "differing": each.differing} for each in found]))
    else:
        for each in found:
            _show(each)
        print("no conflicts" if not found else "1 conflict" if len(found) == 1 else f"{len(found):,} conflicts")
    raise typer.Exit(1 if found else 0)


def resolve(
    uuid: Annotated[str, typer.Argument(help="The uuid of the two rows.")],
    *,
    keep: Annotated[Literal["first", "second"] | None, typer.Option(help="The side whose row is kept.")] = None,
    table: Annotated[str | None, typer.Option(help="The table, if more than one has this uuid.")] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Take back what was last done to this row.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Give both sides the row of one side. This is the only command that changes a row; --undo takes it back.

    It needs the right UPDATE on the table. Exit code 0 if it was done, 1 if it was declined.
    """
    if (keep is None) != undo:
        raise SettingsError("`snk conflicts resolve` needs --keep first, --keep second or --undo", hint="Name one")
    pair, name = pair_of(checked_settings()), uuid_of(uuid)
    action = uvloop.run(_planned(pair, name, table, keep))
    if not action.changed:
        uvloop.run(forget(pair.first, pair.second, action.table, name))
        print("both rows are equal by now, so the record of the conflict was deleted")
        return
    print("\n".join(_lines(action, action.changed)))
    if not (
        yes or confirmed(Question("replace?"), answer, lambda: print("\n".join(_lines(action, action.before))), print)
    ):
        raise typer.Exit(1)
    plan = Plan(KIND, name, datetime.now(UTC).isoformat(), (action,))
    uvloop.run(replace(pair.first, pair.second, plan, undoing=undo))
    print(f"replaced; `snk conflicts resolve {name} --undo` takes it back")


async def _planned(pair: Pair, uuid: str, table: str | None, keep: Literal["first", "second"] | None) -> ReplaceRow:
    if keep is None:
        return (await last_replacement(pair.first, pair.second, uuid, table)).undone
    tables = {each.table for each in await recorded(pair.first, pair.second) if each.uuid == uuid}
    if table is None and len(tables) > 1:
        raise SettingsError(f"{uuid} is in conflict in {', '.join(sorted(tables))}", hint="Name one with --table")
    chosen = table or next(iter(tables), None) or pair.tables[0]
    return await replacement(pair.first, pair.second, chosen, uuid, keep)


def _lines(action: ReplaceRow, columns: Collection[str]) -> Iterator[str]:
    yield f"{action.table} {action.uuid} on {action.on}"
    width = max(map(len, columns), default=0)
    for name in columns:
        before, after = _value(action.before[name]), _value(action.after[name])
        yield f"  {name:{width}} : {before}" + (f" -> {after}" if name in action.changed else "")


def _show(conflict: Recorded) -> None:
    print(f"{conflict.table} {conflict.uuid}  noticed at {conflict.noticed_at} UTC")
    width = max(map(len, conflict.first), default=0)
    for name, value in conflict.first.items():
        mark = "*" if name in conflict.differing else " "
        print(f"{mark} {name:{width}}  first:  {_value(value)}")
        if name in conflict.differing:
            print(f"  {'':{width}}  second: {_value(conflict.second.get(name))}")


def _value(text: str | None) -> str:
    return "NULL" if text is None else repr(text)
