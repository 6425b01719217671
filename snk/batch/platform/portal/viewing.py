"""What all pages have in common: how they ask the tables, what every one tells, and how states look."""

import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request

from snk.batch.definition import NAME
from snk.batch.platform.api.desk import Desk
from snk.batch.platform.moves import Unknown
from snk.batch.platform.portal.finding import standing
from snk.batch.platform.rows import Row
from snk.batch.state import State
from snk.batch.wire import MOST_COUNT
from snk.core.moments import lasted
from snk.http.portal.page import NotThere

Values = Mapping[str, Any]
MOST_TEXT = 100
"""Characters of a filter."""
LOOKS: Mapping[str, str] = {
    State.WAITING: "warn",
    State.RUNNING: "live",
    State.COMPLETED: "good",
    State.FAILED: "bad",
    State.RECON_FAILED: "bad",
    State.CANCELLED: "soft",
}
"""The class of the style sheet that colours a state."""


class Viewing:
    """Asks the tables for pages."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def asked(self, ask: Callable[[AsyncConnection], Awaitable[Values]]) -> Values:
        """What a page shows, and what every page tells of the platform, all of it at one moment.

        Raises:
            NotThere: what the page is about does not exist.
        """

        async def both(connection: AsyncConnection) -> Values:
            found = await standing(connection)
            common = {"now": found.now, "alive": found.nodes, "open_alerts": found.alerts, "troubles": found.texts}
            return {**common, "looks": LOOKS, "lasted": lasted, **await ask(connection)}

        try:
            return await self._desk.asked(both)
        except Unknown as error:
            raise NotThere(str(error)) from None


def text_of(request: Request, name: str) -> str:
    """A filter of the address, as far as a database can look for it."""
    return request.query_params.get(name, "").replace("\0", "").strip()[:MOST_TEXT]


def choice_of(request: Request, name: str, choices: tuple[str, ...], default: str = "") -> str:
    """A choice of the address; the default if it is none."""
    given = request.query_params.get(name, default)
    return given if given in choices else default


def number_of(text: str) -> int | None:
    """A number of a run or a line; None if it is none."""
    return int(text) if re.fullmatch(r"[1-9][0-9]{0,18}", text) and int(text) <= MOST_COUNT else None


def name_in(request: Request) -> str:
    """The name of a task or group in the path.

    Raises:
        NotThere: it is no name.
    """
    name = str(request.path_params["name"])
    if not re.fullmatch(NAME, name):
        raise NotThere(f"there is no task or group {name!r}")
    return name


def run_in(request: Request) -> int:
    """The number of a run in the path.

    Raises:
        NotThere: it is no number.
    """
    given = str(request.path_params["run"])
    run = number_of(given)
    if run is None:
        raise NotThere(f"there is no run {given}")
    return run


def epoch(at: str) -> float:
    """A moment of a row, in seconds since the epoch."""
    return datetime.fromisoformat(at).timestamp()


def standing_of(row: Row) -> tuple[str, str]:
    """The state of a task or group, in a word, and the class that colours it."""
    if row["paused_by"] is not None:
        return "paused", "warn"
    if row["overdue"]:
        return "overdue", "bad"
    if row["state"] is not None:
        return str(row["state"]).lower(), LOOKS[row["state"]]
    if row["last_state"] in (State.FAILED, State.RECON_FAILED):
        return str(row["last_state"]).lower().replace("_", " "), "bad"
    return "idle", "soft"
