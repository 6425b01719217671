"""Who can still fill a hole is seen in pg_locks, and named."""

from snk.db import catalog
from snk.db.engine import Server
from tests.conftest import PairUrls
from tests.databases import Database

INSERT = "insert into t (a) values (1)"


async def test_writers_are_seen_and_named(pair: PairUrls) -> None:
    side = Database(pair.first)
    await side.run("create table t (a int)")
    relation = await side.value("select 't'::regclass::oid::bigint")
    async with Server("first", pair.first).connect() as looking, side.connect() as writing:
        assert await catalog.writers(looking, [relation]) == frozenset()
        await writing.exec_driver_sql("set application_name = 'till'")
        await writing.exec_driver_sql(INSERT)
        pid = (await writing.exec_driver_sql("select pg_backend_pid()")).scalar_one()
        async with side.connect() as preparing:
            await preparing.exec_driver_sql(INSERT)
            await preparing.exec_driver_sql("prepare transaction 'in the air'")
        seen = await catalog.writers(looking, [relation])
        assert len(seen) == 2
        found = {blocker.pid: blocker for blocker in await catalog.blockers(looking, [relation], seen)}
        assert found.keys() == {pid, None}
        assert (found[pid].user, found[pid].application, found[pid].prepared) == ("postgres", "till", None)
        assert (found[pid].state, found[None].prepared) == ("idle in transaction", "in the air")
        assert all((blocker.age_seconds or -1) >= 0 for blocker in found.values())
        async with side.connect() as deciding:
            await deciding.execution_options(isolation_level="AUTOCOMMIT")
            await deciding.exec_driver_sql("commit prepared 'in the air'")
        await writing.rollback()
        assert await catalog.writers(looking, [relation]) == frozenset()


async def test_whoever_only_reads_vacuums_or_is_elsewhere_is_no_writer(pair: PairUrls) -> None:
    side = Database(pair.first)
    await side.run("create table t (a int)", "create table other (a int)")
    relation = await side.value("select 't'::regclass::oid::bigint")
    async with Server("first", pair.first).connect() as looking, side.connect() as busy:
        await busy.exec_driver_sql("lock table t in share update exclusive mode")
        await busy.exec_driver_sql("select from t")
        await busy.exec_driver_sql("insert into other values (1)")
        assert await catalog.writers(looking, [relation]) == frozenset()
        await busy.exec_driver_sql(INSERT)
        assert len(await catalog.writers(looking, [relation])) == 1
