"""``snk resync demo`` and ``snk resync init-demo``: see it work, on embedded servers or on one's own."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvloop

from snk.core.plan import Plan
from snk.db.server import Server
from snk.embedded.postgres import PostgresServer
from snk.embedded.state import held
from snk.embedded.valkey import ValkeyServer
from snk.options import Config
from snk.resync.commands.common import place, synchronise
from snk.resync.demo import PROJECTS, create
from snk.resync.mapping import Mapping
from snk.resync.model import Limits, Part, Repair
from snk.resync.redis import address_of, connected
from snk.resync.report import PROMPTS, details
from snk.resync.run import Place, Resync, locked, sides
from snk.signals import interruptible

PASSWORD = "demo"  # noqa: S105 - of a server that is gone when the command ends


def init_demo(*, config: Config = None) -> None:
    """Create the four tables with two damaged projects, and their counters, where the settings say."""
    uvloop.run(_create(place(config)))
    print(f"created the projects {' and '.join(PROJECTS)}; try `snk resync check --all`")


def demo() -> None:
    """Damage two projects on embedded servers, check them, repair them, and check again."""
    with interruptible(), _servers() as where:
        equal = uvloop.run(_demo(where))
    raise SystemExit(0 if equal else 1)


@contextmanager
def _servers() -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="snk-resync-", ignore_cleanup_errors=True) as made:
        Path(made).chmod(0o755)  # the servers' account enters it, too
        with held(Path(made)) as folder:
            database = PostgresServer(folder / "database", folder, user="postgres", password=PASSWORD)
            redis = ValkeyServer(folder / "redis", folder)
            try:
                database.start()
                redis.start()
                yield Place(database.dsn, redis.dsn, Mapping(), Limits(), grace_seconds=0.5)
            finally:
                database.stop()
                redis.stop()


async def _create(where: Place) -> None:
    server = Server("database", where.database)
    async with connected(where.redis, where.timeout_seconds) as client:
        await create(server, client, address_of(where.redis), where.names)


async def _demo(where: Place) -> bool:
    await _create(where)
    equal = True
    async with sides(where) as both:
        for project in PROJECTS:
            print(f"\n$ snk resync {project}")
            async with locked(both.server, project):
                equal = await synchronise(Resync(both), project, _as_a_person_would) and equal
    return equal


def _as_a_person_would(part: Part, plan: Plan[Repair]) -> bool:
    """Look at the details, and agree."""
    print(f"{PROMPTS[part]} [Y/N/D]: D")
    for line in details(plan):
        print(line)
    print(f"{PROMPTS[part]} [Y/N/D]: Y")
    return True
