"""The recorded conflicts: listed side by side, and settled by the word of a person."""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from snk.core.plan import Plan
from snk.db import journal
from snk.db.access import transaction
from snk.db.functions import commit_durably
from snk.db.lender import Door
from snk.errors import DatabaseUnfit, PlanUnfit, SettingsError
from snk.pair.core.portion import Portion
from snk.pair.repair.actions import OTHER, Label, ReplaceRow, replacement_of
from snk.pair.repair.copy import BATCH_BYTES, JOURNAL_HINT, Side
from snk.pair.schema.own import Conflict
from snk.pair.table.reader import Reader
from snk.pair.table.synced import NamedType
from snk.pair.table.values import as_text
from snk.pair.verify.sides import sides_of

KIND = "conflicts"
RIGHTS_HINT = (
    "Resolving a conflict needs the right UPDATE on the table, which nothing else in SNK needs: grant it for now"
)


@dataclass(frozen=True, slots=True)
class Recorded:
    """A conflict as the daemon recorded it.

    Attributes:
        first: the row of database A, each value in PostgreSQL's text form.
        second: the row of database B.
    """

    table: str
    uuid: str
    first: dict[str, str | None]
    second: dict[str, str | None]
    noticed_at: str

    @property
    def differing(self) -> list[str]:
        """The columns that differ."""
        return [name for name in self.first if self.first[name] != self.second.get(name)]


async def recorded(first: Door, second: Door) -> list[Recorded]:
    """All recorded conflicts; one that both databases recorded is listed once."""
    found: dict[tuple[str, str], Recorded] = {}
    for door in (first, second):
        async with door.connect() as connection:
            rows = await connection.execute(sa.select(Conflict.__table__).order_by(Conflict.noticed_at))
            for row in rows.mappings():
                ours, theirs = row["destination_row"], row["source_row"]
                sides = (ours, theirs) if door is first else (theirs, ours)
                one = Recorded(row["table_name"], row["uuid"], *sides, f"{row['noticed_at']:%Y-%m-%d %H:%M:%S}")
                found.setdefault((one.table, one.uuid), one)
    return list(found.values())


async def replacement(first: Door, second: Door, table: str, uuid: str, keep: Label) -> ReplaceRow:
    """What gives both sides the row of one side, as both rows are now; it changes nothing if they are equal by now.

    Raises:
        SettingsError: a side has no such row.
    """
    async with sides_of(first, second, table, lambda *given: Side(*given[:3])) as (name, sides):
        rows = [await _row(side, uuid) for side in sides]
        for side, row in zip(sides, rows, strict=True):
            if row is None:
                hint = "`snk verify --repair` copies a row that one side lacks"
                raise SettingsError(f"{side.server.address} has no row {uuid} in {name}", hint=hint)
    kept, lost = (rows[0], rows[1]) if keep == "first" else (rows[1], rows[0])
    assert kept is not None and lost is not None  # noqa: S101, PT018 - see above
    return ReplaceRow(name, uuid, OTHER[keep], lost, kept)


async def replace(first: Door, second: Door, plan: Plan[ReplaceRow], *, undoing: bool) -> None:
    """Replace one row, and forget the conflict; the journal is in the database whose row is replaced.

    If it takes a replacement back (``undoing``) and the rows differ again, the conflict is recorded again.

    Raises:
        PlanUnfit: the row is no longer what the plan says. Nothing was written.
        DatabaseUnfit: the role lacks a right.
    """
    (action,) = plan.actions
    await journal.prepare(first if action.on == "first" else second, JOURNAL_HINT)
    async with sides_of(first, second, action.table, lambda *given: Side(*given[:3])) as (_, sides):
        side, other = sides if action.on == "first" else sides[::-1]
        connection = side.connection
        reader = Reader(side.access, side.table).inside(connection)
        await reader.get_ready()
        try:
            async with transaction(connection):
                await commit_durably(connection)
                await connection.execute(sa.select(side.table.uuid).where(_named(side, action.uuid)).with_for_update())
                changed = await _read(reader, side, action.uuid) != action.before
                equal = await _row(other, action.uuid) == action.after
                if changed or not (undoing or equal):
                    raise PlanUnfit(f"{action.uuid} is no longer what it was", hint="Look at it again")
                await connection.execute(_update(side, action))
                if await _read(reader, side, action.uuid) != action.after:
                    raise PlanUnfit(f"{side.server.address} does not keep these values", hint="Is there a trigger?")
                await journal.enter(connection, journal.entry_of(plan))
                await journal.finish(connection, plan, ())
        except sa.exc.DBAPIError as error:
            if getattr(error.orig, "sqlstate", "") == "42501":
                raise DatabaseUnfit(f"{side.server.address}: UPDATE is refused", hint=RIGHTS_HINT) from error
            raise
    if not equal:
        await _record(second if action.on == "second" else first, action)
    else:
        await forget(first, second, action.table, action.uuid)


async def last_replacement(first: Door, second: Door, uuid: str, table: str | None) -> ReplaceRow:
    """The last replacement of a row that can be taken back.

    Raises:
        SettingsError: there is none, or there are some in several tables and none is named.
    """
    found: list[journal.Entry] = []
    for door in (first, second):
        async with door.connect() as connection:
            found += await journal.entries(connection, KIND, uuid)
    if not found:
        raise SettingsError(f"No conflict about {uuid} was resolved here", hint="`snk conflicts` lists the open ones")
    by_table = {entry.actions[0]["table"]: entry for entry in sorted(found, key=lambda entry: entry.applied_at)}
    chosen = [name for name in by_table if table in (None, name, name.removeprefix("public."))]
    if len(chosen) != 1:
        raise SettingsError(f"{uuid} was resolved in {', '.join(by_table)}", hint="Name one of them with --table")
    return replacement_of(by_table[chosen[0]].actions[0])


def _named(side: Side, uuid: str) -> sa.ColumnElement[bool]:
    return side.table.uuid == sa.literal(uuid, sa.Uuid(as_uuid=False))


async def _row(side: Side, uuid: str) -> dict[str, str | None] | None:
    return await _read(Reader(side.access, side.table), side, uuid)


async def _read(reader: Reader, side: Side, uuid: str) -> dict[str, str | None] | None:
    rows = (await reader.named([uuid], Portion.of(1, BATCH_BYTES))).rows
    if not rows:
        return None
    return {name: as_text(column[0]) for name, column in zip(side.table.names, rows.columns, strict=True)}


def _update(side: Side, action: ReplaceRow) -> sa.Update:
    """Set the columns that change, each from its text form."""
    types = {column.name: column.type_name for column in side.table.columns}
    values = {name: sa.cast(sa.literal(action.after[name], sa.Text), NamedType(types[name])) for name in action.changed}
    return sa.update(side.table.table).where(_named(side, action.uuid)).values(values)


async def forget(first: Door, second: Door, table: str, uuid: str) -> None:
    """Delete the record of a conflict that is settled, on both sides."""
    for door in (first, second):
        async with door.begin() as connection:
            await connection.execute(sa.delete(Conflict).where(Conflict.uuid == uuid, Conflict.table_name == table))


async def _record(door: Door, action: ReplaceRow) -> None:
    """Record a conflict in the database whose row was given back: the other side has what was replaced."""
    values = {
        "table_name": action.table,
        "uuid": action.uuid,
        "source_row": action.before,
        "destination_row": action.after,
    }
    async with door.begin() as connection:
        await connection.execute(insert(Conflict).values(values).on_conflict_do_nothing())
