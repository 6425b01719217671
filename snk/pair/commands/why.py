"""``snk why``: the story of one row."""

import json
from dataclasses import asdict
from typing import Annotated

import typer
import uvloop

from snk.options import Json
from snk.pair.commands.common import checked_settings, databases_of, pair_of, uuid_of
from snk.pair.repair.inquiry import story_of
from snk.pair.repair.story import Story
from snk.pair.sync.pair import Pair


def why(
    uuid: Annotated[str, typer.Argument(help="The uuid of the row.")],
    *,
    table: Annotated[str | None, typer.Option(help="Look in this table only; default: all of SNK_TABLES.")] = None,
    as_json: Json = False,
) -> None:
    """Tell where a row is and since when, and what keeps it from being on both sides. Changes nothing.

    Exit code 0 if it is on both sides and equal, 1 if not.
    """
    name = uuid_of(uuid)
    settings = checked_settings()
    pair = pair_of(settings) if table is None else databases_of(settings)
    stories = uvloop.run(_stories(pair, name, table))
    # Tables without the row are left out, unless no table has it.
    known = [story for story in stories if story.first.row is not None or story.second.row is not None] or stories
    if as_json:
        print(
            json.dumps(
                [{**asdict(story), "equal": story.equal, "told": list(story.told())} for story in known], default=str
            )
        )
    else:
        for story in known:
            print(f"{story.table} {story.uuid}")
            for sentence in story.told():
                print(f"  {sentence}")
    raise typer.Exit(0 if all(story.equal for story in known) else 1)


async def _stories(pair: Pair, uuid: str, table: str | None) -> list[Story]:
    tables = pair.tables if table is None else (table,)
    return [await story_of(pair.first, pair.second, each, uuid) for each in tables]
