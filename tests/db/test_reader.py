"""What is read costs what is new, not what is there."""

from snk.core.intervals import Intervals
from snk.db.engine import Server
from snk.db.reader import Reader
from snk.sync.link import linked
from tests.conftest import PairUrls
from tests.databases import Database, insert, until

TABLE = "create table records (id bigserial primary key, uuid uuid not null unique, data text)"
COUNTED = "select coalesce(sum({}), 0)::bigint from pg_stat_user_tables where relname = 'records'"


async def read_all_ways(reader: Reader, greatest: int) -> None:
    """Often enough for the server to settle on a plan for its prepared statements."""
    for _ in range(10):
        assert len((await reader.above(greatest - 5, 10_000)).rows) == 5
        holes = Intervals.of([(2, 3), (greatest - 2, greatest)])
        assert len(found := await reader.within(holes, 10_000)) == 5
        assert len(await reader.named(found.uuids)) == len(await reader.held(found.uuids)) == 5
        assert await reader.bounds() == (1, greatest)


async def test_a_table_that_has_grown_is_not_read_as_a_whole(pair: PairUrls) -> None:
    first, second = Database(pair.first), Database(pair.second)
    for side in (first, second):
        await side.run(TABLE, "alter table records set (autovacuum_enabled = off)")
    await insert(first, 10)
    await first.run("analyze records")
    async with linked(Server("first", pair.first), Server("second", pair.second), "records") as link:
        await read_all_ways(link.source.reader, 10)
        await insert(first, 20_000)
        await read_all_ways(link.source.reader, 20_010)

    async def counted() -> bool:
        return (await first.value(COUNTED.format("seq_scan + idx_scan"))) >= 40

    await until(counted, "the statistics of the session that ended")
    assert await first.value(COUNTED.format("seq_tup_read")) < 20_000, "all of the table was read"
    assert await first.value(COUNTED.format("idx_tup_fetch")) < 20_000, "all of the table was read, by its index"
