"""Several things at the same time, that fail as one."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

A = TypeVar("A")
B = TypeVar("B")
R = TypeVar("R")


async def side_by_side(*parts: Coroutine[Any, Any, R]) -> list[R]:
    """Run all parts at the same time; when one fails, end the others and raise its error."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(part) for part in parts]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [task.result() for task in tasks]


async def two(first: Coroutine[Any, Any, A], second: Coroutine[Any, Any, B]) -> tuple[A, B]:
    """As `side_by_side`, for two of different kinds."""
    results: list[Any] = await side_by_side(first, second)
    return results[0], results[1]
