"""The doctor's findings about triggers that SNK's inserts fire.

The catalog shows when a trigger fires and which function it calls, but not what that function does. So each trigger is
named together with what could go wrong. If a trigger's WHEN clause checks who inserts, its author considered this case.
"""

from collections.abc import AsyncIterator

from sqlalchemy.ext.asyncio import AsyncConnection

from snk.core.finding import Finding
from snk.db.identifiers import literal
from snk.pair.catalog import checkup, lookup
from snk.pair.catalog.shape import InsertTrigger, Shape

ASKS_WHO = ("CURRENT_USER", "SESSION_USER", "CURRENT_ROLE")


async def of_triggers(connection: AsyncConnection, label: str, shape: Shape) -> AsyncIterator[Finding]:
    """One finding for each trigger."""
    triggers = (await lookup.insert_triggers(connection, [shape.relations]))[shape.relations]
    role = await checkup.role(connection) if triggers else ""
    for trigger in triggers:
        which = f"{label}: trigger {trigger.name} on {trigger.table}"
        if any(word in trigger.condition for word in ASKS_WHO):
            yield Finding("ok", shape.full_name, f"{which} asks who inserts: WHEN {trigger.condition}")
            continue
        each = "for each row" if trigger.level == "row" else "once for each insert"
        which += f" ({trigger.timing} insert, {each}, calls {trigger.function})"
        advice = f"If so, add WHEN (current_user <> {literal(role)}) to the trigger"
        yield Finding("warning", shape.full_name, f"{which} {_fires(trigger)}", advice)


def _fires(trigger: InsertTrigger) -> str:
    again = "fires for rows that SNK inserts, as it did where they came from"
    if (trigger.timing, trigger.level) == ("before", "row"):
        return f"{again}. A row that it changes becomes a conflict, and a row that it drops is set aside"
    return f"{again}. Rows that it writes into synced tables then exist twice: an audit table has one row for each side"
