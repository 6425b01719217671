"""The rows that are set aside, in a browser: why, and when each is tried again; one or all can be tried now."""

from collections.abc import Mapping
from typing import Any

import structlog
from starlette.requests import Request

from snk.core.words import counted
from snk.http.portal.page import Action, Done, Form, Page
from snk.pair.portal.asked import uuid_of
from snk.pair.portal.reach import Reach
from snk.pair.repair import listed
from snk.pair.repair.listed import About
from snk.pair.table.rejects import LOOP, hasten

REJECTED, RETRY = "/rejected", "/rejected/retry"
MOST_LISTED = 50
"""Of each database."""
MOST_TABLES = 20

log = structlog.get_logger()


class RejectedPages:
    """The pages about rows that are set aside."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach

    def pages(self) -> list[Page]:
        """All pages."""
        return [
            Page(REJECTED, "Rejected", "rejected.html", self._list, ("rejected",), "Rejected"),
            Page(RETRY, "Try rejected rows again", "retry.html", self._retrying),
        ]

    def actions(self) -> list[Action]:
        """What their form does."""
        return [Action(RETRY, self._retry, REJECTED)]

    async def _list(self, request: Request) -> Mapping[str, Any]:
        about = About(request.query_params.get("table", ""))

        async def ask() -> Mapping[str, Any]:
            async with self._reach.both() as doors:
                sides = [(door.server.label, await listed.rejected(door, about, MOST_LISTED)) for door in doors]
            return {"sides": sides, "table": about.table, "loop_code": LOOP}

        found = await self._reach.looked(request, ask)
        return {**found, **self._tables()}

    async def _retrying(self, request: Request) -> Mapping[str, Any]:
        asked = request.query_params
        about = About(asked.get("table", ""), uuid_of(asked)) if "uuid" in asked else About()
        async with self._reach.both() as doors:
            sides = [(door.server.label, await listed.rejected(door, about, 1)) for door in doors]
        count = sum(len(found.rows) + found.more for _, found in sides)
        one = next((found.rows[0] for _, found in sides if found.rows), None) if about.uuid else None
        return {"uuid": about.uuid, "sides": sides, "count": count, "one": one}

    async def _retry(self, form: Form, _: str) -> Done:
        uuids = [uuid_of(form)] if "uuid" in form else []
        count = 0
        async with self._reach.both() as doors:
            for door in doors:
                async with door.connect() as connection:
                    count += await hasten(connection, uuids)
        log.info("rows_hastened", rows=count, only=", ".join(uuids) or "all")
        if not count:
            return Done("No such row is set aside any more.", REJECTED, ok=False)
        return Done(f"{counted(count, 'row')} {'is' if count == 1 else 'are'} tried again now.", REJECTED)

    def _tables(self) -> Mapping[str, Any]:
        """How many rows of which tables are set aside, the most before the others."""
        told = self._reach.daemon.status().flows
        flows = sorted((flow for flow in told if flow.rejected), key=lambda flow: -flow.rejected)
        return {
            "flows": flows[:MOST_TABLES],
            "more_flows": max(0, len(flows) - MOST_TABLES),
        }
