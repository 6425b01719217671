"""The tables of the provider and of the consumers, by hand: what the demo proves does not rest on what it shows."""

from datetime import datetime

import sqlalchemy as sa

from snk.batch.demo.script import COLUMNS, CORRUPTED, FILES, START
from snk.db.functions import interval
from snk.db.server import Server

METADATA = sa.MetaData()
TABLES = {
    name: sa.Table(
        name,
        METADATA,
        sa.Column("uid", sa.Text, primary_key=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, index=True),
        sa.Column("amount", sa.Numeric(12, 2), nullable=False),
        sa.Column("note", sa.Text, nullable=False),
    )
    for name in FILES
}
DAY_SECONDS = 86_400
FIRST = datetime.fromisoformat(START)
SPOILT = f"{CORRUPTED}-000007"
"""The record that is changed on its way into the consumers' database."""


async def create(url: str) -> None:
    """Create the tables."""
    async with Server("database", url).begin() as connection:
        await connection.run_sync(METADATA.create_all)


async def fill(url: str, rows: int) -> None:
    """Give each table so many records of one day."""
    number = sa.func.generate_series(1, rows).table_valued("n").render_derived()
    at = sa.literal(FIRST) + interval(sa.cast(number.c.n * (DAY_SECONDS - 1) / rows, sa.Float))
    async with Server("database", url).begin() as connection:
        for name, table in TABLES.items():
            uid = name + sa.literal("-") + sa.func.lpad(sa.cast(number.c.n, sa.Text), 6, "0")
            amount = sa.cast(number.c.n * 7919 % 1_000_000, sa.Numeric) / 100
            note = sa.func.md5(sa.cast(number.c.n, sa.Text))
            await connection.execute(sa.insert(table).from_select(COLUMNS, sa.select(uid, at, amount, note)))


async def spoil(url: str) -> None:
    """Let the consumers' database change one record that comes in, as a forgotten trigger does."""
    async with Server("database", url).begin() as connection:
        for statement in (
            (
                "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS"
                f" $$ BEGIN IF NEW.uid = '{SPOILT}' THEN NEW.amount := NEW.amount + 0.01; END IF; RETURN NEW; END $$"
            ),
            f"CREATE TRIGGER spoil BEFORE INSERT OR UPDATE ON {CORRUPTED} FOR EACH ROW EXECUTE FUNCTION spoil()",
        ):
            await connection.execute(sa.DDL(statement.replace("%", "%%")))  # type: ignore[no-untyped-call]


async def mend(url: str) -> None:
    """Have that end."""
    async with Server("database", url).begin() as connection:
        await connection.execute(sa.DDL(f"DROP TRIGGER spoil ON {CORRUPTED}"))  # type: ignore[no-untyped-call]


async def difference(provider: str, consumer: str) -> list[str]:
    """Compare all tables of both databases, row by row; return what differs."""
    found = []
    for name in FILES:
        theirs, ours = [await _rows(url, name) for url in (provider, consumer)]
        if theirs != ours:
            found.append(f"{name}: {len(theirs - ours):,} records are missing, {len(ours - theirs):,} are others")
    return found


async def _rows(url: str, name: str) -> set[tuple[object, ...]]:
    async with Server("database", url).begin() as connection:
        return {tuple(row) for row in await connection.execute(sa.select(TABLES[name]))}
