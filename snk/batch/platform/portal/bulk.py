"""What a person does to many runs or tasks at once: to those, and no others, that the question listed."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request

from snk.batch.definition import NAME
from snk.batch.platform import pausing
from snk.batch.platform.api.desk import Desk
from snk.batch.platform.portal import finding
from snk.batch.platform.portal.confirming import REASON, Asking, Field, reason_of, tried
from snk.batch.platform.portal.run_deeds import DONE, By, act
from snk.batch.platform.portal.runs import CHOICES, states_of
from snk.batch.platform.portal.tasks import wanted_of
from snk.batch.platform.portal.viewing import Values, Viewing, number_of, text_of
from snk.batch.state import LIVE, UNSETTLED, State
from snk.core.words import counted
from snk.errors import SnkError, Stop
from snk.http.portal.page import Deed, Done, Form, Page

MOST = 1000
MOST_LISTED = 50
STATES: Mapping[str, frozenset[State]] = {"cancel": LIVE, "rerun": UNSETTLED, "skip": UNSETTLED}
"""In which states of runs something can be done to them."""
LASTING = ("cancel", "skip")
"""What cannot be taken back."""
PAUSES = {"pause": "paused", "resume": "resumed"}
One = Callable[[AsyncConnection, str], Awaitable[object]]
"""Does it to one of them, by its number or name."""


class BulkDeeds:
    """The questions and what follows from them.

    Args:
        viewing: asks the tables.
        desk: changes them.
    """

    def __init__(self, viewing: Viewing, desk: Desk) -> None:
        self._viewing = viewing
        self._desk = desk

    def pages(self) -> list[Page]:
        """The questions."""
        runs = [
            Page(f"/bulk/runs/{what}", f"{what.title()} runs", "confirm.html", self._ask_runs(what)) for what in STATES
        ]
        tasks = [
            Page(f"/bulk/tasks/{what}", f"{what.title()} tasks", "confirm.html", self._ask_tasks(what))
            for what in PAUSES
        ]
        return [*runs, *tasks]

    def deeds(self) -> list[Deed]:
        """What follows."""
        runs = [Deed(f"/bulk/runs/{what}", self._do_runs(what)) for what in STATES]
        return [*runs, *(Deed(f"/bulk/tasks/{what}", self._do_tasks(what)) for what in PAUSES)]

    def _ask_runs(self, what: str) -> Callable[[Request], Awaitable[Values]]:
        async def ask(request: Request) -> Values:
            task, (choice, _) = text_of(request, "task"), states_of(request)
            states = STATES[what] & (CHOICES[choice] if choice else STATES[what])

            async def look(connection: AsyncConnection) -> Values:
                rows, count = await finding.run_numbers(connection, task or None, states, MOST)
                listed = [f"run {row['id']} of {row['task']}, {row['state']}" for row in rows]
                back = f"/runs?{request.url.query}"
                preview = f"These runs, of which each is {' or '.join(sorted(states))}, are {DONE[what]}."
                numbers = [str(row["id"]) for row in rows]
                heading = f"{what.title()} {counted(len(rows), 'run')}"
                asking = _asking(heading, preview, back, (listed, numbers, count))
                return {"asking": replace(asking, danger=what in LASTING)}

            return await self._viewing.asked(look)

        return ask

    def _ask_tasks(self, what: str) -> Callable[[Request], Awaitable[Values]]:
        async def ask(request: Request) -> Values:
            wanted = finding.all_of(wanted_of(request, "task"), MOST)

            async def look(connection: AsyncConnection) -> Values:
                found = await finding.tasks(connection, wanted)
                names = [row["name"] for row in found.rows]
                back = f"/?{request.url.query}"
                preview = f"These tasks are {PAUSES[what]}."
                heading = f"{what.title()} {counted(len(names), 'task')}"
                return {"asking": _asking(heading, preview, back, (names, names, found.count))}

            return await self._viewing.asked(look)

        return ask

    def _do_runs(self, what: str) -> Callable[[Request, Form], Awaitable[Done]]:
        async def do(request: Request, form: Form) -> Done:
            async def doing() -> str:
                by = By(request.state.who, reason_of(form))
                numbers = [each for each in _chosen(form) if number_of(each) is not None]

                async def one(connection: AsyncConnection, number: str) -> None:
                    await act(connection, what, int(number), by)

                return await self._each(numbers, one, f"runs are {DONE[what]}")

            return await tried(doing(), f"/runs?{request.url.query}", f"{request.url.path}?{request.url.query}")

        return do

    def _do_tasks(self, what: str) -> Callable[[Request, Form], Awaitable[Done]]:
        change = {"pause": pausing.pause, "resume": pausing.resume}[what]

        async def do(request: Request, form: Form) -> Done:
            async def doing() -> str:
                reason = reason_of(form)

                async def one(connection: AsyncConnection, name: str) -> None:
                    await change(connection, name, request.state.who, reason)

                names = [each for each in _chosen(form) if re.fullmatch(NAME, each)]
                return await self._each(names, one, f"tasks are {PAUSES[what]}")

            return await tried(doing(), f"/?{request.url.query}", f"{request.url.path}?{request.url.query}")

        return do

    async def _each(self, chosen: Sequence[str], one: One, words: str) -> str:
        """Do something to each, in a transaction of its own as the API does; return what became of it."""
        done, refused = 0, ""
        for each in chosen:

            async def do(connection: AsyncConnection, each: str = each) -> None:
                await one(connection, each)

            try:
                await self._desk.done(do)
                done += 1
            except Stop as error:  # such as one that has ended meanwhile
                refused = refused or f"{each}: {error}"
            except SnkError as error:
                raise SnkError(f"{done:,} {words}; then it failed, and the others are as they were: {error}") from None
        others = len(chosen) - done
        told = f"{done:,} {words}"
        return f"{told}; {counted(others, 'other')} could not be, the first one {refused}" if others else f"{told}."


def _asking(heading: str, preview: str, back: str, found: tuple[Sequence[str], Sequence[str], int]) -> Asking:
    """A question about many.

    Args:
        heading: what is asked.
        preview: what would happen.
        back: the page that the person came from.
        found: words and key of each, and how many there are in all.
    """
    listed, keys, count = found
    if not keys:
        return Asking(heading, (), "", back, refusal="There is nothing of that kind.")
    told = [preview, "One that has changed meanwhile may be left as it is; you are told so."]
    if count > len(keys):
        told.append(f"There are {count:,}; {len(keys):,} of them are done now, and the others when you ask again.")
    fields = (
        REASON,
        Field("count", f"Write {len(keys)} to confirm how many", required=True),
        Field("chosen", "", "hidden", value=" ".join(keys)),
    )
    shown = listed[:MOST_LISTED]
    return Asking(heading, told, heading, back, fields, listed=shown, more=len(listed) - len(shown))


def _chosen(form: Form) -> list[str]:
    """What the question was about.

    Raises:
        Stop: their number was not confirmed, or they are too many.
    """
    chosen = form.get("chosen", "").split()
    if len(chosen) > MOST:
        raise Stop(f"at most {MOST:,} are done at once")
    if form.get("count", "").strip().replace(",", "") != str(len(chosen)):
        raise Stop(f"Nothing was done: write {len(chosen)} to confirm how many")
    return chosen
