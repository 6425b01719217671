"""Who can still fill a hole is seen in pg_locks, and named."""

from snk.db.server import Server
from snk.pair.catalog import activity, lookup
from snk.pair.catalog.shape import InsertTrigger
from tests.conftest import PairUrls
from tests.kit.databases import Database

INSERT = "insert into t (a) values (1)"


async def test_writers_are_seen_and_named(pair: PairUrls) -> None:
    side = Database(pair.first)
    await side.run("create table t (a int)")
    relation = await side.value("select 't'::regclass::oid::bigint")
    async with Server("first", pair.first).connect() as looking, side.connect() as writing:
        assert await activity.writers(looking, [relation]) == frozenset()
        await writing.exec_driver_sql("set application_name = 'till'")
        await writing.exec_driver_sql(INSERT)
        pid = (await writing.exec_driver_sql("select pg_backend_pid()")).scalar_one()
        async with side.connect() as preparing:
            await preparing.exec_driver_sql(INSERT)
            await preparing.exec_driver_sql("prepare transaction 'in the air'")
        seen = await activity.writers(looking, [relation])
        assert len(seen) == 2
        found = {blocker.pid: blocker for blocker in await activity.blockers(looking, [relation], seen)}
        assert found.keys() == {pid, None}
        assert (found[pid].user, found[pid].application, found[pid].prepared) == ("postgres", "till", None)
        assert (found[pid].state, found[None].prepared) == ("idle in transaction", "in the air")
        assert all((blocker.age_seconds or -1) >= 0 for blocker in found.values())
        async with side.connect() as deciding:
            await deciding.execution_options(isolation_level="AUTOCOMMIT")
            await deciding.exec_driver_sql("commit prepared 'in the air'")
        await writing.rollback()
        assert await activity.writers(looking, [relation]) == frozenset()


async def test_whoever_only_reads_vacuums_or_is_elsewhere_is_no_writer(pair: PairUrls) -> None:
    side = Database(pair.first)
    await side.run("create table t (a int)", "create table other (a int)")
    relation = await side.value("select 't'::regclass::oid::bigint")
    async with Server("first", pair.first).connect() as looking, side.connect() as busy:
        await busy.exec_driver_sql("lock table t in share update exclusive mode")
        await busy.exec_driver_sql("select from t")
        await busy.exec_driver_sql("insert into other values (1)")
        assert await activity.writers(looking, [relation]) == frozenset()
        await busy.exec_driver_sql(INSERT)
        assert len(await activity.writers(looking, [relation])) == 1


async def test_a_key_onto_a_partitioned_table_has_one_parent(pair: PairUrls) -> None:
    """PostgreSQL keeps a further constraint for each of its partitions."""
    side = Database(pair.first)
    await side.run(
        "create table t (a int unique) partition by range (a)",
        "create table low partition of t for values from (0) to (10)",
        "create table child (a int references t (a), b int) partition by range (b)",
        "create table child_low partition of child for values from (0) to (10)",
    )
    relations = [await side.value(f"select '{name}'::regclass::oid::bigint") for name in ("child", "child_low")]
    async with Server("first", pair.first).connect() as connection:
        for of in (relations, relations[:1], relations[1:]):
            assert await lookup.parents(connection, [tuple(of)]) == {tuple(of): {"public.t"}}


FUNCTION = "create function f() returns trigger language plpgsql as $$ begin return new; end $$"
TRIGGER = "create trigger {} {} on {} for each {} execute function f()"
PARTED = (
    "create table t (a int, b int) partition by range (a)",
    "create table low partition of t for values from (0) to (10)",
    "create table high partition of t for values from (10) to (20)",
)


async def fired(dsn: str, setting: str = "select", only: tuple[str, ...] = ("t", "low", "high")) -> list[InsertTrigger]:
    """What an insert into t, or into one partition, fires in a session with this setting."""
    relations = dict(await Database(dsn).rows("select relname, oid::bigint from pg_class where relkind in ('r', 'p')"))
    async with Server("first", dsn).connect() as looking:
        await looking.exec_driver_sql(setting)
        family = tuple(relations[name] for name in only if name in relations)
        return list((await lookup.insert_triggers(looking, [family]))[family])


async def test_triggers_of_an_insert_are_told_with_what_they_do(pair: PairUrls) -> None:
    await Database(pair.first).run(
        "create table t (a int)",
        FUNCTION,
        TRIGGER.format("changes", "before insert or update", "t", "row"),
        "create constraint trigger late after insert on t initially deferred for each row"
        " when (current_user <> 'snk') execute function f()",
        TRIGGER.format("once", "after insert", "t", "statement"),
    )
    assert await fired(pair.first) == [
        InsertTrigger("public.t", "changes", "public.f", "before", "row", ""),
        InsertTrigger("public.t", "late", "public.f", "after", "row", "((CURRENT_USER <> 'snk'::name))"),
        InsertTrigger("public.t", "once", "public.f", "after", "statement", ""),
    ]


async def test_what_an_insert_does_not_fire_is_not_told(pair: PairUrls) -> None:
    await Database(pair.first).run(
        "create table parent (a int primary key)",
        "create table t (a int references parent, b int unique deferrable)",
        FUNCTION,
        TRIGGER.format("updated", "before update", "t", "row"),
        TRIGGER.format("disabled", "before insert", "t", "row"),
        "alter table t disable trigger disabled",
        TRIGGER.format("replica", "before insert", "t", "row"),
        "alter table t enable replica trigger replica",
    )
    assert await fired(pair.first) == []
    assert [found.name for found in await fired(pair.first, "set session_replication_role = replica")] == ["replica"]


async def test_triggers_of_partitions_are_told_where_an_insert_into_the_parent_fires_them(pair: PairUrls) -> None:
    await Database(pair.first).run(
        *PARTED,
        FUNCTION,
        TRIGGER.format("everywhere", "after insert", "t", "row"),
        TRIGGER.format("high_only", "before insert", "high", "row"),
        TRIGGER.format("never", "after insert", "high", "statement"),
    )
    found = [(trigger.table, trigger.name) for trigger in await fired(pair.first)]
    assert found == [("public.high", "high_only"), ("public.t", "everywhere")], "a copy is told with its original"
    found = [(trigger.table, trigger.name) for trigger in await fired(pair.first, only=("high",))]
    assert found == [("public.high", "everywhere"), ("public.high", "high_only"), ("public.high", "never")]
