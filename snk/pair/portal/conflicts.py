"""The conflicts in a browser: both rows side by side, and the replacement of one of them by the other."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from starlette.requests import Request

from snk.core.plan import Plan
from snk.errors import PlanUnfit
from snk.http.portal.page import Action, Done, Form, Page
from snk.pair.portal.asked import kept, uuid_of
from snk.pair.portal.reach import Reach
from snk.pair.repair import listed
from snk.pair.repair.actions import ReplaceRow
from snk.pair.repair.conflicts import KIND, forget, last_replacement, replace, replacement
from snk.pair.repair.listed import LONG, About, Cut

CONFLICTS, ROW, RESOLVE, UNDO = "/conflicts", "/conflicts/row", "/conflicts/resolve", "/conflicts/undo"
MOST_SETTLED = 10

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Change:
    """A column of a row that is about to be replaced."""

    column: str
    before: Cut
    after: Cut


class ConflictPages:
    """The pages about conflicts."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach

    def pages(self) -> list[Page]:
        """All pages."""
        return [
            Page(CONFLICTS, "Conflicts", "conflicts.html", self._list, ("conflicts",), "Conflicts"),
            Page(ROW, "A conflict", "conflict_row.html", self._row),
            Page(RESOLVE, "Resolve a conflict", "conflict_replace.html", self._resolving),
            Page(UNDO, "Take a replacement back", "conflict_replace.html", self._undoing),
        ]

    def actions(self) -> list[Action]:
        """What their forms do."""
        return [Action(RESOLVE, self._resolve, CONFLICTS), Action(UNDO, self._undo, CONFLICTS)]

    async def _list(self, request: Request) -> Mapping[str, Any]:
        about = About(request.query_params.get("table", ""))

        async def ask() -> Mapping[str, Any]:
            async with self._reach.both() as doors:
                found = await listed.conflicts(*doors, about)
                settled = await listed.settled(*doors, MOST_SETTLED)
            return {"found": found, "settled": settled, "table": about.table}

        return await self._reach.looked(request, ask)

    async def _row(self, request: Request) -> Mapping[str, Any]:
        about = About(request.query_params.get("table", ""), uuid_of(request.query_params))
        async with self._reach.both() as doors:
            found = (await listed.conflicts(*doors, about, LONG)).rows
        return {"status": 200 if found else 404, "conflict": found[0] if found else None}

    async def _resolving(self, request: Request) -> Mapping[str, Any]:
        return _shown(await self._replacement(request.query_params), keep=kept(request.query_params), undoing=False)

    async def _undoing(self, request: Request) -> Mapping[str, Any]:
        return _shown(await self._undone(request.query_params), keep="", undoing=True)

    async def _resolve(self, form: Form, _: str) -> Done:
        action = await self._replacement(form)
        refuse_changed(form, action)
        if not action.changed:
            async with self._reach.both() as doors:
                await forget(*doors, action.table, action.uuid)
            log.info("conflict_forgotten", table=action.table, uuid=action.uuid)
            return Done("Both rows are equal by now, so the record of the conflict was deleted.", CONFLICTS)
        await self._replace(action, undoing=False)
        command = f"`snk conflicts resolve {action.uuid} --undo`"
        return Done(
            f"Replaced on {action.on}: {_names(action)}. {command} takes it back, or the list below.", CONFLICTS
        )

    async def _undo(self, form: Form, _: str) -> Done:
        action = await self._undone(form)
        refuse_changed(form, action)
        await self._replace(action, undoing=True)
        return Done(f"Taken back on {action.on}: {_names(action)}.", CONFLICTS)

    async def _replacement(self, asked: Mapping[str, str]) -> ReplaceRow:
        table, uuid, keep = asked.get("table", ""), uuid_of(asked), kept(asked)
        async with self._reach.both() as doors:
            return await replacement(*doors, table, uuid, keep)

    async def _undone(self, asked: Mapping[str, str]) -> ReplaceRow:
        uuid = uuid_of(asked)
        async with self._reach.both() as doors:
            return (await last_replacement(*doors, uuid, asked.get("table") or None)).undone

    async def _replace(self, action: ReplaceRow, *, undoing: bool) -> None:
        plan = Plan(KIND, action.uuid, datetime.now(UTC).isoformat(), (action,))
        async with self._reach.both() as doors:
            await replace(*doors, plan, undoing=undoing)
        event = "replacement_taken_back" if undoing else "row_replaced"
        log.info(event, table=action.table, uuid=action.uuid, side=action.on, columns=", ".join(action.changed))


def seal(action: ReplaceRow) -> str:
    """A digest of what a page showed; its form carries it, so that nothing else is done."""
    return hashlib.sha256(json.dumps(action.as_json, sort_keys=True).encode()).hexdigest()


def refuse_changed(form: Form, action: ReplaceRow) -> None:
    """Refuse what is not what was shown.

    Raises:
        PlanUnfit: a row has changed since.
    """
    if form.get("shown") != seal(action):
        raise PlanUnfit(f"{action.uuid} is no longer what was shown, and nothing was changed", hint="Look at it again")


def _shown(action: ReplaceRow, *, keep: str, undoing: bool) -> Mapping[str, Any]:
    return {
        "action": action,
        "changes": _changes(action, action.changed),
        "same": _changes(action, [name for name in action.before if name not in action.changed]),
        "seal": seal(action),
        "keep": keep,
        "undoing": undoing,
    }


def _changes(action: ReplaceRow, names: Sequence[str]) -> list[Change]:
    before, after = action.before, action.after
    return [Change(name, Cut.of(before[name], LONG.chars), Cut.of(after.get(name), LONG.chars)) for name in names]


def _names(action: ReplaceRow, most: int = 5) -> str:
    """The columns that change, or the first of them."""
    more = len(action.changed) - most
    return ", ".join(action.changed[:most]) + (f" and {more} more columns" if more > 0 else "")
