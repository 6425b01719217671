"""Statements that are made when they are first needed, and those of wide tables beside the event loop.

To map a table, and to make and compile a statement about all of its columns, takes SQLAlchemy up to two milliseconds
for each of them: seconds for the 1600 that a table may have. Leases have to be renewed meanwhile, and other tables are
to flow. So a thread does it, for one statement after the other. And what is kept is what was compiled, not the
hundreds of thousands of objects that it was compiled of: all stands still while Python looks for garbage among them.
"""

import asyncio
import gc
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from typing import Any, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.visitors import InternalTraversal

from snk.pair.catalog.shape import Shape
from snk.pair.table.synced import SyncedTable

FEW_COLUMNS = 16  # a thread would be more trouble than it saves

T = TypeVar("T")

# One thread, so that the event loop has to share the interpreter with no more than one.
_MAKER = ThreadPoolExecutor(1, "statements")


class Statement:
    """One statement about a table, over one connection.

    Args:
        table: the table.
        make: makes the statement.
    """

    def __init__(self, table: SyncedTable, make: Callable[[SyncedTable], sa.Executable]) -> None:
        self._table = table
        self._make = make
        self._made: sa.Executable | None = None

    async def over(self, connection: AsyncConnection, names: Iterable[str]) -> sa.Executable:
        """The statement, to be executed over the connection at once.

        The first call may take seconds: make it while no transaction is open and no statement is running.

        Args:
            connection: always the same.
            names: those of the parameters it will be given, always the same.
        """
        if self._made is None:
            if _is_wide(self._table.shape):
                self._made = await _beside(partial(self._compiled, connection, sorted(names)))
            else:
                self._made = self._make(self._table)
        return self._made

    def _compiled(self, connection: AsyncConnection, names: list[str]) -> sa.Executable:
        """The statement in its least form, which the cache of the connection knows already."""
        made = cast("sa.ClauseElement", self._make(self._table))
        compiled = _Compiled(cast("SQLCompiler", made.compile(dialect=connection.dialect, column_keys=names)))
        sync = connection.sync_connection
        cache = sync.get_execution_options()["compiled_cache"] if sync else None
        # So SQLAlchemy does itself, when a statement is executed.
        compiled._compile_w_cache(connection.dialect, compiled_cache=cache, column_keys=names)  # noqa: SLF001
        return compiled


class _Compiled(sa.Executable, sa.ClauseElement):
    """What a statement was compiled to, to be executed as that statement.

    Its results come as the driver gives them. So it must not return what SQLAlchemy would have to translate, such as
    uuids.

    Attributes:
        texts: what stands before, between and behind the parameters.
        parameters: as often as each occurs.
    """

    inherit_cache = True
    _traverse_internals = [  # noqa: RUF012 - as SQLAlchemy has it
        ("texts", InternalTraversal.dp_string_list),
        ("parameters", InternalTraversal.dp_clauseelement_list),
    ]

    def __init__(self, compiled: SQLCompiler) -> None:
        if compiled.post_compile_params:  # they have no number of their own, so the others would be taken for them
            raise ValueError(f"a statement for a wide table cannot use in_(): {compiled}")
        text, names = str(compiled), compiled.positiontup or []
        self.texts: list[str] = []
        self.parameters: list[sa.BindParameter[Any]] = []
        end = 0
        for token in _TOKEN.finditer(text):
            if number := token["parameter"]:
                self.texts.append(text[end : token.start()])
                self.parameters.append(compiled.binds[names[int(number) - 1]])
                end = token.end()
        self.texts.append(text[end:])


# What may hold a dollar and a number, and is no parameter: names, in quotes or not, and strings.
_TOKEN = re.compile(r""""[^"]*"|'[^']*'|[^\W\d][\w$]*|\$(?P<parameter>\d+)""")


@compiles(_Compiled)
def _written(compiled: _Compiled, compiler: SQLCompiler, **more: Any) -> str:
    parameters = [compiler.process(parameter, **more) for parameter in compiled.parameters]
    return "".join(chain.from_iterable(zip(compiled.texts, [*parameters, ""], strict=True)))


async def mapped(shape: Shape) -> SyncedTable:
    """The side whose catalogue told this shape, as `SyncedTable.of`."""
    make = partial(SyncedTable.of, shape)
    return await _beside(make) if _is_wide(shape) else make()


def _is_wide(shape: Shape) -> bool:
    return len(shape.columns) > FEW_COLUMNS


async def _beside(make: Callable[[], T]) -> T:
    def undisturbed() -> T:
        gc.disable()
        try:
            return make()
        finally:
            gc.enable()

    return await asyncio.get_running_loop().run_in_executor(_MAKER, undisturbed)
