"""PostgreSQL's functions, and expressions, as more than one statement has them."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

T = TypeVar("T")


def interval(seconds: float | sa.ColumnElement[float]) -> sa.ColumnElement[timedelta]:
    """So many seconds, to be added to a time."""
    return sa.func.make_interval(0, 0, 0, 0, 0, 0, seconds)


def setting(name: str, value: str, *, local: bool = False) -> sa.ColumnElement[str]:
    """Give a setting a value, until the session ends, or the present transaction where it is ``local``."""
    return sa.func.set_config(name, value, local)


# With an empty search_path, format_type writes every type that is not PostgreSQL's own with its schema.
NO_SEARCH_PATH = sa.select(setting("search_path", "", local=True))


async def commit_durably(connection: AsyncConnection) -> None:
    """Have the present transaction wait for the disk when it commits, which SNK's sessions do not by themselves."""
    await connection.execute(sa.select(setting("synchronous_commit", "on", local=True)))


async def commit_locally(connection: AsyncConnection) -> None:
    """Have all transactions of this session wait for the server's own disk, but for no standby."""
    await connection.execute(sa.select(setting("synchronous_commit", "local")))


def balanced(combine: Callable[[T, T], T], items: Sequence[T]) -> T:
    """All items combined, as a tree that is as shallow as can be: neither SQLAlchemy nor PostgreSQL goes deep."""
    left = list(items)
    while len(left) > 1:
        odd = left[len(left) // 2 * 2 :]
        left = [combine(one, other) for one, other in zip(left[::2], left[1::2], strict=False)] + odd
    return left[0]
