"""SNK as a role that may log in and what `snk init --role` grants, and nothing else."""

import subprocess
import urllib.request
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from snk.core.names import split_list
from snk.db.server import Server
from snk.errors import SettingsError
from snk.pair.doctor import examine
from snk.pair.schema.grants import granted
from snk.pair.servers import EmbeddedPair
from snk.pair.sync.pair import Pair
from tests.kit.daemons import DaemonProcess, run_snk
from tests.kit.databases import DEADLINE_SECONDS, Database, insert, until, until_equal

TABLES = ["orders", '"Sa.les"."o""rder\'s"', "private.things"]
LISTED = ",".join(["records", *TABLES])
MADE = [
    "create table orders (id bigserial primary key, uuid uuid not null unique, data text)",
    'create schema "Sa.les"',
    'create table "Sa.les"."o""rder\'s" (id serial primary key, uuid uuid not null unique, data text)',
    "create schema private",
    "create table private.things (id int generated always as identity primary key, uuid uuid not null, data text)",
    "alter table private.things add unique (uuid)",
]


@dataclass(frozen=True)
class Limited:
    """A pair whose URLs are those of a role that may log in and nothing else, and the ways of the superuser into it."""

    first: str
    second: str
    redis: str
    role: str
    superuser: Any

    @property
    def sides(self) -> tuple[Database, Database]:
        return Database(self.superuser.first), Database(self.superuser.second)

    def values(self, **more: str) -> dict[str, str]:
        return {
            "FIRST_DB_URL": self.first,
            "SECOND_DB_URL": self.second,
            "REDIS_URL": self.redis,
            "SNK_TABLES": LISTED,
            **more,
        }


@pytest.fixture
async def limited(pair: Any) -> AsyncIterator[Limited]:
    role = 'snk"; -- ' + pair.first.rpartition("/")[2]
    quoted = '"' + role.replace('"', '""') + '"'
    login = role.replace('"', "%22").replace(";", "%3B").replace(" ", "%20")
    urls = [url.replace("postgres:postgres@", f"{login}:hush@") for url in (pair.first, pair.second)]
    sides = Database(pair.first), Database(pair.second)
    for side in sides:
        await side.run(*MADE, f"create role {quoted} login password 'hush'")
    yield Limited(urls[0], urls[1], pair.redis, role, pair)
    for side in sides:
        await side.run(f"drop owned by {quoted}", f"drop role {quoted}")


def as_superuser(limited: Limited) -> dict[str, str]:
    return limited.values(FIRST_DB_URL=limited.superuser.first, SECOND_DB_URL=limited.superuser.second)


async def doctor(limited: Limited) -> list[str]:
    """All that is not well, as `snk doctor` says it."""
    servers = Server("first", limited.first), Server("second", limited.second)
    looked = examine(Pair(*servers, tables=split_list(LISTED)), limited.redis)
    return [f"{finding.message} {finding.advice}" async for finding in looked if finding.level != "ok"]


@pytest.mark.long
async def test_what_init_prints_is_all_that_a_role_needs(limited: Limited, servers: EmbeddedPair) -> None:
    printed = run_snk(limited.values(), "init", "--print", "--role", limited.role)
    assert printed.returncode == 0, printed.stderr
    for server, dsn in ((servers.first, limited.superuser.first), (servers.second, limited.superuser.second)):
        command = [server.executable("psql"), "-qX", "-v", "ON_ERROR_STOP=1", "-d", dsn]
        subprocess.run(command, input=printed.stdout, text=True, check=True)
    looked = run_snk(limited.values(), "doctor")
    assert looked.returncode == 0, looked.stdout
    assert "warning" not in looked.stdout
    first, second = limited.sides
    with DaemonProcess(limited, SNK_TABLES=LISTED) as daemon:
        for table in ("records", *TABLES):
            await insert(first, 10, table)
            await insert(second, 10, table)
        for table in ("records", *TABLES):
            await until_equal(first, second, 20, table)
        assert daemon.stop() == 0, daemon.log
        assert "flow_paused" not in daemon.log


@pytest.mark.long
async def test_each_right_that_is_missing_is_named(limited: Limited) -> None:
    done = run_snk(as_superuser(limited), "init", "--role", limited.role)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(f"granted to {limited.role}") == 2
    assert await doctor(limited) == []
    first, _ = limited.sides
    to = '"' + limited.role.replace('"', '""') + '"'
    for right, named in {
        "usage on schema snk": "USAGE on schema snk",
        "select on snk.marks": "SELECT on snk.marks",
        "insert on snk.conflicts": "INSERT on snk.conflicts",
        "update on snk.marks": "UPDATE on snk.marks",
        "delete on snk.marks": "DELETE on snk.marks",
        "select on orders": "lacks the right to SELECT GRANT SELECT ON public.orders",
        'insert on "Sa.les"."o""rder\'s"': 'GRANT INSERT ON "Sa.les"."o""rder\'s"',
        "usage on sequence orders_id_seq": "GRANT USAGE ON SEQUENCE public.orders_id_seq",
        "usage on schema private": "permission denied for schema private",
    }.items():
        await first.run(f"revoke {right} from {to}")
        found = await doctor(limited)
        assert any(named in text for text in found), (right, found)
        await first.run(f"grant {right} to {to}")
    await first.run(
        "revoke execute on all functions in schema snk from public",
        f"revoke execute on all functions in schema snk from {to}",
    )
    found = await doctor(limited)
    assert any("EXECUTE on function snk.wait_for_commits(" in text for text in found), found


@pytest.mark.long
async def test_a_right_taken_from_a_running_daemon_is_named_and_its_return_noticed(limited: Limited) -> None:
    assert run_snk(as_superuser(limited), "init", "--role", limited.role).returncode == 0
    first, second = limited.sides
    to = '"' + limited.role.replace('"', '""') + '"'
    with DaemonProcess(limited) as daemon:
        await daemon.until_flowing()
        for count, (right, named) in enumerate(
            {
                "insert on records": "lacks the right to INSERT",
                "update on snk.marks": "permission denied for table marks",
            }.items(),
            1,
        ):
            await second.run(f"revoke {right} from {to}")
            await insert(first)

            async def named_in_status(named: str = named) -> bool:
                with urllib.request.urlopen(f"{daemon.url}/status", timeout=DEADLINE_SECONDS) as answer:
                    return named in answer.read().decode()

            await until(named_in_status, "the missing right in the status")
            await second.run(f"grant {right} to {to}")
            await until_equal(first, second, count)
        assert "hush" not in daemon.log


@pytest.mark.parametrize("role", ["public", ""])
def test_nobody_is_granted_to_by_mistake(role: str) -> None:
    with pytest.raises(SettingsError, match="Name the one role"):
        list(granted(role, ("records",)))


def test_a_role_that_is_not_there_is_named(pair: Any) -> None:
    values = {"FIRST_DB_URL": pair.first, "SECOND_DB_URL": pair.second, "REDIS_URL": pair.redis}
    refused = run_snk(values, "init", "--role", "nobody-like-that")
    assert refused.returncode == 2
    assert 'role "nobody-like-that" does not exist' in refused.stderr
