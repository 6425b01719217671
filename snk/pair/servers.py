"""Two PostgreSQL servers and a Valkey server in one state folder, for the duration of a block."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from snk.embedded.postgres import PostgresServer
from snk.embedded.state import held
from snk.embedded.valkey import ValkeyServer


@dataclass(frozen=True, slots=True)
class EmbeddedPair:
    """The servers of one state folder."""

    state: Path
    first: PostgresServer
    second: PostgresServer
    redis: ValkeyServer


@contextmanager
def embedded_pair(
    state: Path, *, user: str, password: str, options: Mapping[str, str] | None = None
) -> Iterator[EmbeddedPair]:
    """Start the three servers; stop them at the end of the block, whatever happens.

    Inside the block the environment has no libpq variables (``PGSSLMODE`` and others): they describe other servers, and
    every client would apply them to these.

    Enter the block from the main thread: the servers end when the thread that started them does.

    Args:
        state: where they keep their data; data of an earlier run is used again.
        user: the superuser of a newly created cluster.
        password: its password.
        options: more settings of both PostgreSQL servers.

    Yields:
        The servers, ready to accept connections.

    Raises:
        ServersUnfit: they cannot be started here, or run here already.
    """
    with held(state) as folder, ExitStack() as stack:
        stack.enter_context(_no_word_of_other_servers())
        first, second = (
            PostgresServer(folder / name, folder, user=user, password=password, options=options)
            for name in ("first", "second")
        )
        redis = ValkeyServer(folder / "redis", folder)
        stops: tuple[Callable[[], None], ...] = (first.stop, second.stop, redis.stop)
        for stop in stops:
            stack.callback(stop)
        first.launch()
        second.launch()
        redis.start()
        first.wait_until_ready()
        second.wait_until_ready()
        yield EmbeddedPair(folder, first, second, redis)


@contextmanager
def _no_word_of_other_servers() -> Iterator[None]:
    said = {name: os.environ.pop(name) for name in tuple(os.environ) if name.startswith("PG")}
    try:
        yield
    finally:
        os.environ.update(said)
