"""``snk verify``: prove that both sides are equal, or list the rows that differ."""

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop

from snk.db.pooler import refuse_shared_sessions
from snk.errors import SettingsError
from snk.pair.commands.common import checked_settings, pair_of, pass_over, waiting
from snk.pair.sync.pair import Pair
from snk.pair.verify.compare import Comparison, compare
from snk.pair.verify.search import KINDS, LOOK_AGAIN, Progress, both

SAY_SECONDS = 2.0


def verify(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document for each step.")] = False,
    settle: Annotated[float, typer.Option(min=0, help="Seconds that a difference must last.")] = 5.0,
    limit: Annotated[int, typer.Option(min=0, help="Maximum number of rows to list of each kind.")] = 20,
    repair: Annotated[bool, typer.Option("--repair", help="Ask, copy the missing rows, and compare again.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --repair: show what would be copied.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --repair: do not ask.")] = False,
    out: Annotated[Path | None, typer.Option(help="With --repair: write the plan to a file for `snk apply`.")] = None,
    report: Annotated[Path | None, typer.Option(help="Also write the result as an HTML page to this file.")] = None,
) -> None:
    """Compare the rows of both sides by digest. Exit code 0 if they are equal, 1 if not.

    A table that a pattern in SNK_TABLES matches and that cannot be synced is left out, and the exit code is 1.
    With --repair, copy the rows that one side lacks. Rows that differ are listed and left alone: see `snk conflicts`.
    """
    if (dry_run or yes or out) and not repair:
        raise SettingsError("--dry-run, --yes and --out belong to --repair", hint="Add --repair")
    if repair and as_json and not (yes or dry_run or out):
        raise SettingsError("--json cannot ask questions", hint="Add --yes, --dry-run or --out")
    if report and not (report.parent.is_dir() and os.access(report.parent, os.W_OK)):
        raise SettingsError(f"{str(report)!r} cannot be written", hint="Name a file in a folder that you may write to")
    pair = pair_of(checked_settings())
    results = uvloop.run(compare_all(pair, settle))
    show(results, limit, as_json=as_json)
    if repair and any(result.only_in_first or result.only_in_second for result in results):
        from snk.pair.commands.repairs import Repairs  # noqa: PLC0415 - a plain comparison starts faster without it

        if uvloop.run(Repairs(pair, as_json=as_json, yes=yes).repair(results, out, dry_run=dry_run)):
            results = uvloop.run(compare_all(pair, settle))
            show(results, limit, as_json=as_json)
    if report:
        from snk.pair.repair.page import write_page  # noqa: PLC0415 - as above

        write_page(report, results)
    raise typer.Exit(0 if all(result.equal for result in results) and not pair.left_out else 1)


def show(results: Sequence[Comparison], limit: int, *, as_json: bool = False) -> None:
    """Print results, each with at most ``limit`` uuids of each kind."""
    if as_json:
        print(json.dumps({"equal": all(r.equal for r in results), "tables": [_told(r, limit) for r in results]}))
    else:
        for result in results:
            _show(result, limit)


async def compare_all(pair: Pair, settle: float) -> list[Comparison]:
    """Compare both sides of every table."""
    asyncio.get_running_loop().set_exception_handler(pass_over)
    await both(refuse_shared_sessions(server) for server in (pair.first, pair.second))
    results: list[Comparison] = []
    for table in pair.tables:
        with _shown(table, settle) as tell:
            results.append(await compare(pair.first, pair.second, table, settle_seconds=settle, progress=tell))
    return results


@contextmanager
def _shown(table: str, settle: float) -> Iterator[Progress]:
    """Show progress; on a terminal, in one line that is updated."""
    words = partial(_words, table, settle)
    if not sys.stderr.isatty():
        yield _in_lines(words)
        return
    from rich.console import Console  # noqa: PLC0415 - importing it takes longer than comparing small tables

    with Console(stderr=True).status(table) as status:
        yield lambda what, done, of: status.update(words(what, done, of))


def _in_lines(words: Callable[[str, int, int], str]) -> Progress:
    """Print a line at intervals during long work; report a wait immediately, and only once."""
    last = time.monotonic()
    before = ""

    def tell(what: str, done: int, of: int) -> None:
        nonlocal last, before
        due = what != before if what == LOOK_AGAIN else time.monotonic() - last > SAY_SECONDS
        if due:
            last = time.monotonic()
            print(words(what, done, of), file=sys.stderr)
        before = what

    return tell


def _words(table: str, settle: float, what: str, done: int, of: int) -> str:
    if what == LOOK_AGAIN:
        return waiting(table, of, settle)
    return f"{table}: {what} {done:,}/{of:,}"


def _told(result: Comparison, limit: int) -> dict[str, Any]:
    """The result as JSON: all counts, and at most ``limit`` uuids of each kind."""
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
            print(f"  {kind.replace('_', ' ')}: {len(found):,}")
            for uuid in found[:limit]:
                print(f"    {uuid}")
            if len(found) > limit:
                print(f"    and {len(found) - limit:,} more; --limit shows more of them")
    if not result.complete:
        print("  the search stopped here; more rows may differ")
