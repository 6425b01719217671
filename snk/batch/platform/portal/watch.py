"""The pages of nodes and consumers, of alerts, and of the audit."""

from urllib.parse import urlencode

from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request

from snk.batch.platform import attention, looking
from snk.batch.platform.portal import finding
from snk.batch.platform.portal.viewing import Values, Viewing, number_of, text_of
from snk.batch.platform.rows import Row
from snk.http.portal.page import Page


class WatchPages:
    """What they show."""

    def __init__(self, viewing: Viewing) -> None:
        self._viewing = viewing

    def pages(self) -> list[Page]:
        """All of them."""
        return [
            Page("/nodes", "Nodes", "nodes.html", self._nodes, ("nodes",), "Nodes"),
            Page("/alerts", "Alerts", "alerts.html", self._alerts, ("alerts",), "Alerts"),
            Page("/audit", "Audit", "audit.html", self._audit, ("audit",), "Audit"),
        ]

    async def _nodes(self, _: Request) -> Values:
        async def ask(connection: AsyncConnection) -> Values:
            consumers = await _consumers(connection)
            return {
                "nodes": await finding.nodes(connection),
                "consumers": consumers[: finding.MOST_ROWS],
                "more": max(0, len(consumers) - finding.MOST_ROWS),
            }

        return await self._viewing.asked(ask)

    async def _alerts(self, request: Request) -> Values:
        resolved = request.query_params.get("all", "") == "true"

        async def ask(connection: AsyncConnection) -> Values:
            return {"alerts": await attention.listed(connection, resolved=resolved, most=finding.MOST_ROWS)}

        return {"resolved": resolved, **await self._viewing.asked(ask)}

    async def _audit(self, request: Request) -> Values:
        subject, before = text_of(request, "subject"), number_of(request.query_params.get("before", ""))
        part = looking.Part(finding.MOST_ROWS + 1, before)

        async def ask(connection: AsyncConnection) -> Values:
            lines = await looking.audit(connection, subject or None, part)
            shown = lines[: finding.MOST_ROWS]
            older = urlencode({"subject": subject, "before": shown[-1]["id"]}) if len(lines) > len(shown) else ""
            return {"lines": shown, "older": older}

        return {"subject": subject, "before": before, **await self._viewing.asked(ask)}


async def _consumers(connection: AsyncConnection) -> list[Row]:
    """The instances of consumers: those that are called just now, the failing ones first, and then the others."""
    tasks = await finding.defined_consumers(connection)
    called = await finding.called(connection)
    rows = [{**each, "tasks": tasks.pop(each["consumer"], [])} for each in called]
    idle = {"runs": 0, "tries": 0, "worked_at": None, "failure": ""}
    return [*rows, *({"consumer": name, **idle, "tasks": names} for name, names in sorted(tasks.items()))]
