"""``snk verify``: proof that both sides are equal, or the names of the rows that are not."""

import json
import time
from dataclasses import asdict
from typing import Annotated, Any

import typer
import uvloop
from rich.console import Console
from rich.status import Status

from snk.cli.common import pair_of, start
from snk.sync.link import one_and_the_same
from snk.sync.pair import Pair
from snk.verify.compare import KINDS, Comparison, compare
from snk.verify.search import Progress

SAY_SECONDS = 2.0


def verify(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    settle: Annotated[float, typer.Option(min=0, help="Report differences that last so many seconds.")] = 5.0,
    limit: Annotated[int, typer.Option(min=0, help="Name at most so many rows of each kind.")] = 20,
) -> None:
    """Compare the rows of both sides by digest; exit code 0 if they are equal, 1 if not."""
    results = uvloop.run(_compare(pair_of(start()), settle))
    if as_json:
        print(json.dumps({"equal": all(r.equal for r in results), "tables": [_told(r, limit) for r in results]}))
    else:
        for result in results:
            _show(result, limit)
    raise typer.Exit(0 if all(result.equal for result in results) else 1)


async def _compare(pair: Pair, settle: float) -> list[Comparison]:
    console = Console(stderr=True)
    if fault := await one_and_the_same(pair.first, pair.second):
        raise fault
    results: list[Comparison] = []
    for table in pair.tables:
        with console.status(table) as status:
            tell = _on_terminal(status, table) if console.is_terminal else _in_lines(console, table)
            results.append(await compare(pair.first, pair.second, table, settle_seconds=settle, progress=tell))
    return results


def _on_terminal(status: Status, table: str) -> Progress:
    def tell(what: str, done: int, of: int) -> None:
        status.update(f"{table}: {what} {done:,}/{of:,}")

    return tell


def _in_lines(console: Console, table: str) -> Progress:
    """A line now and then, for work that lasts."""
    last = time.monotonic()

    def tell(what: str, done: int, of: int) -> None:
        nonlocal last
        if time.monotonic() - last > SAY_SECONDS:
            last = time.monotonic()
            console.print(f"{table}: {what} {done}/{of}", highlight=False)

    return tell


def _told(result: Comparison, limit: int) -> dict[str, Any]:
    """The result as JSON: all counts, and as many names as wanted."""
    told = asdict(result)
    names = {kind: told.pop(kind) for kind in KINDS}
    return {
        **told,
        "equal": result.equal,
        **{f"{kind}_count": len(found) for kind, found in names.items()},
        **{kind: found[:limit] for kind, found in names.items()},
    }


def _show(result: Comparison, limit: int) -> None:
    rows = f"{result.rows.first:,} rows in first, {result.rows.second:,} in second, {result.seconds:.2f} s"
    print(f"{result.table}: {'equal' if result.equal else 'DIFFERENT'} ({rows})")
    for kind in KINDS:
        found: tuple[str, ...] = getattr(result, kind)
        if found:
            print(f"  {kind.replace('_', ' ')}: {len(found):,}{'' if result.complete else ' or more'}")
            for uuid in found[:limit]:
                print(f"    {uuid}")
            if len(found) > limit:
                print(f"    and {len(found) - limit:,} more; --limit shows more of them")
