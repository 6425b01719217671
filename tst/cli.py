"""The command ``tst``: reads the settings, runs the load, prints the summary."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from typing import Annotated

import typer
import uvloop
from rich.console import Console

from tst.errors import TstError
from tst.load import Load, Order
from tst.report import report_progress, summary
from tst.settings import load_settings
from tst.side import Side

TROUBLE = 2

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown")


@app.command()
def tst(
    rows: Annotated[int | None, typer.Option(min=1, help="Stop after exactly this many rows.")] = None,
    batch: Annotated[int, typer.Option(min=1, max=100_000, help="Rows in one transaction.")] = 1000,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same rows.")] = None,
    wait: Annotated[
        float, typer.Option(min=0, help="Seconds to wait at the start for servers and tables that are not there.")
    ] = 60.0,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the summary only.")] = False,
) -> None:
    """Fill the table `records` of two databases with random rows, as fast as possible.

    Each turn picks one of the two at random and inserts a batch in one transaction. Press Ctrl-C to stop. The
    environment and .env say where the databases are: FIRST_DB_HOST, SECOND_DB_HOST, DB_PORT, POSTGRES_DB,
    POSTGRES_USER, POSTGRES_PASSWORD, or FIRST_DB_URL and SECOND_DB_URL.

    The summary goes to standard output, everything else to standard error. The exit code is 0, or 2 when a person has
    to change something first.
    """
    console = Console(stderr=True, quiet=quiet, soft_wrap=True)
    order = Order(rows=rows, batch_rows=batch, seed=seed, wait_seconds=wait)
    try:
        settings = load_settings()
        uvloop.run(_load(settings.first_dsn, settings.second_dsn, order, console))
    except TstError as error:
        typer.echo(f"tst: {error}", err=True)
        raise typer.Exit(TROUBLE) from None


async def _load(first_dsn: str, second_dsn: str, order: Order, console: Console) -> None:
    sides = (Side("first", first_dsn), Side("second", second_dsn))
    load = Load(sides, order, say=lambda line: console.print(line, highlight=False, markup=False))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, load.stop)
    try:
        async with _shown(load, console):
            await load.run()
    except TstError:
        if any(load.committed.values()):
            typer.echo(summary(load))
        raise
    else:
        typer.echo(summary(load))
    finally:
        for side in sides:
            await side.close()


@contextlib.asynccontextmanager
async def _shown(load: Load, console: Console) -> AsyncIterator[None]:
    """Report progress inside the block, and remove it from the screen afterwards."""
    progress = asyncio.create_task(report_progress(load, console))
    try:
        yield
    finally:
        progress.cancel()
        await asyncio.wait({progress})


def main() -> None:
    """Run the command line with all signals unblocked, even if the parent process blocked them."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    app(prog_name="tst")
