"""A plan as SQL and commands of Redis, to be read, or run by hand."""

from collections.abc import Iterator

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import asyncpg

from snk.core.plan import Plan
from snk.db import journal
from snk.resync.counters import ABSENT, RAISE
from snk.resync.database import snapshot
from snk.resync.insert import first_new_key, parameters, statement_for, used_indexes
from snk.resync.model import InsertRows, RaiseCounter, Repair
from snk.resync.run import Sides


async def script(both: Sides, plan: Plan[Repair]) -> str:
    """The statements that applying the plan now would execute; each does nothing where its before-value does not hold.

    Raises:
        PlanUnfit: the plan was applied before.
    """
    inserts = [action for action in plan.actions if isinstance(action, InsertRows)]
    found = both.found
    expected = [action.before + number for action in inserts for number in range(action.rows)]
    async with snapshot(both.server) as connection:
        await journal.refuse_applied(connection, plan)
        used = await used_indexes(connection, found, inserts)
        first = await first_new_key(connection, found)
    values = parameters(found, plan.subject, inserts, used, first)
    statements = (
        statement_for(found, with_key=first is not None, values=each, expected=rows)
        for each, rows in zip(values, expected, strict=True)
    )
    title = f"-- Plan {plan.id} of project {plan.subject!r}, made at {plan.made_at}: nothing of it is in the journal.\n"
    return "".join((*_transaction(title, statements), *_commands(plan)))


def _transaction(title: str, statements: Iterator[sa.Insert]) -> Iterator[str]:
    dialect = asyncpg.dialect()  # type: ignore[no-untyped-call]
    texts = [str(each.compile(dialect=dialect, compile_kwargs={"literal_binds": True})) for each in statements]
    if texts:
        yield "".join((title, "BEGIN;\n", *(f"{text};\n" for text in texts), "COMMIT;\n"))


def _commands(plan: Plan[Repair]) -> Iterator[str]:
    """One line for redis-cli for each counter: it raises the counter only from its before-value."""
    for action in plan.actions:
        if isinstance(action, RaiseCounter):
            before = ABSENT if action.before is None else str(action.before)
            words = ("EVAL", " ".join(RAISE.split()), "1", action.key, before, str(action.after))
            yield " ".join(word if word.isalnum() else _quoted(word) for word in words) + "\n"


def _quoted(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
