"""SNK's role may have a value of its own for every setting of the server: what crosses is the same, or SNK refuses.

The settings are asked of the server, so those of a newer version take part by themselves. ``--settings all`` tries all
of them, and prints which are pinned, harmless or refused.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest

from snk.db.server import Server
from snk.db.session import PINNED, READ_ONLY
from snk.errors import Stop
from snk.pair.sync.daemon import Daemon
from snk.pair.sync.limits import Limits
from snk.pair.sync.pair import Pair
from snk.pair.sync.prepare import grant, prepare
from snk.pair.sync.schedule import SweepSchedule
from snk.pair.verify.compare import compare
from tests.kit.databases import Database, until, until_equal
from tests.pair.conftest import kept_running, until_healthy
from tests.pair.sync.test_types import MAKE_TYPES, inserts, table

PARTS = 3
SAMPLE = 2  # of each part, of those that are pinned and of all others

# A setting that is a text does not tell which values it takes. None: no value of it could do harm here.
TEXTS: dict[str, tuple[str, ...] | None] = {
    "application_name": ("snk",),
    "backtrace_functions": ("array_in",),
    "client_encoding": ("LATIN1", "SQL_ASCII"),
    "createrole_self_grant": ("set, inherit",),
    "DateStyle": ("SQL, DMY", "German"),
    "default_table_access_method": None,
    "default_tablespace": None,
    "default_text_search_config": ("pg_catalog.german",),
    "dynamic_library_path": ("/nowhere",),
    "extension_control_path": ("/nowhere",),
    "lc_messages": None,
    "lc_monetary": None,
    "lc_numeric": None,
    "lc_time": None,
    "local_preload_libraries": ("hostile_library",),
    "log_connections": None,
    "output_plugin_libraries": ("hostile_library",),
    "restrict_nonsystem_relation_kind": ("view, foreign-table",),
    "search_path": ("hostile_schema",),
    "session_preload_libraries": ("hostile_library",),
    "temp_tablespaces": None,
    "TimeZone": ("Asia/Kolkata", "America/St_Johns"),
    "timezone_abbreviations": ("India", "Australia"),
    "wal_consistency_checking": ("all",),
    "plpgsql.extra_errors": ("all",),
    "plpgsql.extra_warnings": ("all",),
}
# No session begins with these, or the table is not found: SNK says so, in these words.
REFUSED = {
    "local_preload_libraries": "hostile_library",
    "session_preload_libraries": "hostile_library",
    "search_path": "search_path",
}

# With a millisecond nobody could use a session at all: a second is the least time limit that is tried.
SETTINGS = """
    select name, vartype as kind, boot_val as boot, case unit when 'ms' then '1000' else min_val end as least,
           max_val as most, enumvals as every
    from pg_settings where context in ('user', 'superuser') order by name
"""


@dataclass(frozen=True)
class Setting:
    """What the server tells of one setting."""

    name: str
    kind: str
    boot: str | None
    least: str | None
    most: str | None
    every: list[str] | None


@dataclass(frozen=True)
class Trial:
    """One setting with a value that nobody would choose for SNK."""

    name: str
    value: str

    def __str__(self) -> str:
        return f"{self.name} = {self.value!r}"


@dataclass(frozen=True)
class Ground:
    """A pair whose tables hold every type, and SNK's role on its first server."""

    pair: Any
    first: Database
    second: Database
    servers: Pair
    role: str


@asynccontextmanager
async def ground(pair: Any) -> AsyncIterator[Ground]:
    first, second = Database(pair.first), Database(pair.second)
    role = "r" + urlsplit(pair.first).path[1:]
    owners = (Server("first", pair.first), Server("second", pair.second))
    for side in (first, second):
        await side.run(*MAKE_TYPES, table(), f"create role {role} login password 'pw'")
    for owner in owners:
        await prepare(owner, ("everything",))
        await grant(owner, role, ("everything",))
    urls = [url.replace("postgres:postgres@", f"{role}:pw@") for url in (pair.first, pair.second)]
    servers = Pair(Server("first", urls[0]), Server("second", urls[1]), ("everything",))
    try:
        yield Ground(pair, first, second, servers, role)
    finally:
        for side in (first, second):
            await side.run(f"drop owned by {role}", f"drop role {role}")


async def trials(first: Database) -> list[Trial]:
    """Every setting that a role may have, with each hostile value."""
    async with first.connect() as connection:
        await connection.exec_driver_sql("load 'plpgsql'")
        settings = [Setting(**row) for row in (await connection.exec_driver_sql(SETTINGS)).mappings()]
    unknown = [setting.name for setting in settings if setting.kind == "string" and setting.name not in TEXTS]
    assert not unknown, f"give these settings hostile values: {', '.join(unknown)}"
    return [Trial(setting.name, value) for setting in settings for value in hostile(setting)]


def hostile(setting: Setting) -> list[str]:
    match setting.kind:
        case "bool":
            return ["off" if setting.boot == "on" else "on"]
        case "enum":
            return [value for value in setting.every or () if value != setting.boot]
        case "string":
            return list(TEXTS[setting.name] or ())
        case _:
            # The least value of a time limit is often 0, which stands for none.
            values = (setting.least, "1" if setting.least == "0" else None, setting.most)
            return [value for value in values if value not in (None, setting.boot)]


async def outcome(ground: Ground, trial: Trial) -> str:
    """``harmless``, ``refused``, or what went wrong."""
    try:
        quoted = trial.value.replace("'", "''")
        value = f"'{quoted}'" if "," not in trial.value else trial.value
        await ground.first.run(f"alter role {ground.role} set {trial.name} = {value}")
    except Exception as error:  # noqa: BLE001 - whatever the server says, no role has this value
        return f"not for roles: {str(error).splitlines()[0]}"
    try:
        async with running(ground) as daemon:
            await cross(ground)
            compared = await compare(ground.servers.first, ground.servers.second, "everything")
            assert compared.equal
            await until_healthy(daemon)
        refused = [await side.value("select count(*) from snk.rejected") for side in (ground.first, ground.second)]
        conflicts = [await side.value("select count(*) from snk.conflicts") for side in (ground.first, ground.second)]
        assert not any(refused + conflicts)
    except Stop as error:
        words = REFUSED.get(trial.name, trial.name)
        return "refused" if words in str(error) else f"refused without naming it: {error}"
    except (AssertionError, BaseExceptionGroup) as error:
        return f"harm: {str(error).splitlines()[0]}"
    finally:
        await ground.first.run(f"alter role {ground.role} reset all")
        for side in (ground.first, ground.second):
            await side.run("truncate snk.rejected, snk.conflicts", "delete from everything")
    return "pinned" if trial.name.lower() in (*PINNED, READ_ONLY) else "harmless"


async def cross(ground: Ground) -> None:
    """Every value of every type, in both directions."""
    rows = inserts()
    for side, some in ((ground.first, rows[::2]), (ground.second, rows[1::2])):
        async with side.connect() as connection:
            for row in some:
                await connection.exec_driver_sql(row)
            await connection.commit()
    await until_equal(ground.first, ground.second, len(rows), "everything")


@asynccontextmanager
async def running(ground: Ground) -> AsyncIterator[Daemon]:
    stop = asyncio.Event()
    daemon = Daemon(ground.servers, Limits(), ground.pair.redis, sweeps=SweepSchedule(every_seconds=0))
    starting = asyncio.create_task(daemon.wait_until_fit(stop))

    async def started() -> bool:
        error = daemon.status().flows[0].error
        if "hostile" in error:
            stop.set()
            await starting
            raise Stop(error)
        return starting.done()

    await until(started, "the daemon to start or to say why not")
    await starting
    async with kept_running(daemon, stop):
        yield daemon


@pytest.mark.sampled(1)
@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(PARTS))
async def test_no_setting_of_its_role_changes_what_crosses(pair: Any, pytestconfig: pytest.Config, part: int) -> None:
    async with ground(pair) as made:
        found = (await trials(made.first))[part::PARTS]
        if pytestconfig.getoption("--settings") != "all":
            pinned = [trial for trial in found if trial.name.lower() in (*PINNED, READ_ONLY)]
            others = [trial for trial in found if trial not in pinned]
            found = random.sample(pinned, SAMPLE) + random.sample(others, SAMPLE)
        outcomes = {str(trial): await outcome(made, trial) for trial in found}
    for kind in sorted(set(outcomes.values())):
        print(f"{kind}: {', '.join(trial for trial, what in outcomes.items() if what == kind)}")
    wrong = {trial: what for trial, what in outcomes.items() if what.startswith(("harm:", "refused without"))}
    assert wrong == {}
