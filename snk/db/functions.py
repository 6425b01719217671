"""SQL functions and expressions that more than one statement uses."""

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

T = TypeVar("T")

LOCK_TIMEOUT = "200ms"


def interval(seconds: float | sa.ColumnElement[float]) -> sa.ColumnElement[timedelta]:
    """A number of seconds as an interval, for adding to a time."""
    return sa.func.make_interval(0, 0, 0, 0, 0, 0, seconds)


def array_text(items: Iterable[object]) -> str:
    """An array as one text, which the driver need not encode; of items whose texts need no quotes."""
    return f"{{{','.join(map(str, items))}}}"


def setting(name: str, value: str, *, local: bool = False) -> sa.ColumnElement[str]:
    """Set a configuration parameter until the session ends, or until the transaction ends if ``local``."""
    return sa.func.set_config(name, value, local)


async def wait_briefly(connection: AsyncConnection, *, local: bool) -> None:
    """Have statements refused that wait long for a lock; until the transaction ends if ``local``."""
    await connection.execute(sa.select(setting("lock_timeout", LOCK_TIMEOUT, local=local)))


# With an empty search_path, format_type qualifies every type that is not PostgreSQL's own with its schema.
NO_SEARCH_PATH = sa.select(setting("search_path", "", local=True))


async def commit_durably(connection: AsyncConnection) -> None:
    """Make the current transaction wait for the disk when it commits, which SNK's sessions do not do by default."""
    await connection.execute(sa.select(setting("synchronous_commit", "on", local=True)))


async def commit_locally(connection: AsyncConnection) -> None:
    """Make the current transaction wait for the server's own disk when it commits, but not for a standby."""
    await connection.execute(sa.select(setting("synchronous_commit", "local", local=True)))


def balanced(combine: Callable[[T, T], T], items: Sequence[T]) -> T:
    """Combine all items in a tree of minimal depth, because SQLAlchemy and PostgreSQL both limit the depth."""
    left = list(items)
    while len(left) > 1:
        odd = left[len(left) // 2 * 2 :]
        left = [combine(one, other) for one, other in zip(left[::2], left[1::2], strict=False)] + odd
    return left[0]
