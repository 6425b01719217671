"""``snk status``: show the status that the running daemon reports."""

import difflib
import json
from collections.abc import Sequence
from http import HTTPStatus
from http.client import HTTPException
from typing import Annotated, Any
from urllib.error import HTTPError

import typer
from rich.console import Console

from snk.core.names import split_name, written
from snk.errors import ServiceUnfit, SettingsError
from snk.pair.commands.status_view import show
from snk.pair.core.report import DaemonStatus
from snk.pair.core.summary import only
from snk.pair.settings import load_settings
from snk.pair.status.ask import check_url, daemon_url, fetch, parse

PLAIN_WIDTH = 200
NEAR_NAMES = 3


def status(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print the daemon's status as JSON.")] = False,
    every: Annotated[bool, typer.Option("--all", help="Show every flow, not only the ten worst.")] = False,
    table: Annotated[list[str] | None, typer.Option(help="Show this table only; may be repeated.")] = None,
    url: Annotated[str | None, typer.Option(help="URL of the daemon, such as http://127.0.0.1:8089.")] = None,
) -> None:
    """Show the state of every flow, and which sessions hold rows back.

    If there are more than ten flows: totals, the ten worst flows, and at most ten lines about each subject.

    Exit code 0 if rows flow, 1 if not, 2 if no daemon answers. Conflicts and rows set aside do not change it. With
    --table, only the flows of these tables count.
    """
    answer, told = _asked(url)
    if table:
        tables = {_known(name, told) for name in table}
        told = only(told, tables)
        answer = _only(answer, told)
    if as_json:
        print(answer.decode())
    else:
        # A file or a pipe has no width, and a truncated table is useless.
        terminal = Console(highlight=False)
        console = terminal if terminal.is_terminal else Console(highlight=False, width=PLAIN_WIDTH)
        show(told, console, whole=every or bool(table))
    raise typer.Exit(0 if told.healthy else 1)


def _asked(url: str | None) -> tuple[bytes, DaemonStatus]:
    """The answer of the daemon at this URL, or at the one of the settings, and what it means."""
    settings = load_settings()
    token = settings.http_token
    if url is None:
        url = daemon_url(settings.snk_http_host, settings.snk_http_port)
    else:
        check_url(url, token)
    try:
        answer = fetch(url.rstrip("/").removesuffix("/status"), token)
        return answer, parse(answer)
    except HTTPError as error:
        with error:
            hint = "Set SNK_HTTP_TOKEN to the daemon's token" if error.code == HTTPStatus.UNAUTHORIZED else ""
            raise ServiceUnfit(f"The daemon at {url} refuses to tell: {error.reason}", hint=hint) from error
    except (OSError, ValueError, HTTPException) as error:
        hint = "Start it with `snk run`, or set its address with --url"
        raise ServiceUnfit(f"No daemon answers at {url}: {getattr(error, 'reason', error)}", hint=hint) from error


def _known(name: str, told: DaemonStatus) -> str:
    """The table as the daemon names it.

    Raises:
        SettingsError: the daemon has no such table; it names those with a similar name.
    """
    known = list(dict.fromkeys(flow.table for flow in told.flows))
    try:
        name = written(split_name(name))
    except ValueError as error:
        raise SettingsError(f"--table is {name!r}: {error}", hint='Write it like sales.lines or "a.b"."c d"') from None
    if name not in known:
        raise SettingsError(f"The daemon has no table {name}", hint=_nearest(name, known))
    return name


def _nearest(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=NEAR_NAMES) or difflib.get_close_matches(name, known, n=1, cutoff=0)
    return f"The nearest {'one is' if len(near) == 1 else 'ones are'} {', '.join(near)}" if near else ""


def _only(answer: bytes, told: DaemonStatus) -> bytes:
    """The daemon's answer with nothing but the tables of ``told``."""
    whole: dict[str, Any] = json.loads(answer)
    tables = {flow.table for flow in told.flows}
    for name in ("flows", "sweeps"):
        whole[name] = [each for each in whole[name] if each["table"] in tables]
    whole |= {"healthy": told.healthy, "troubles": told.troubles}
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode()
