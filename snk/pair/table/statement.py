"""Statements that are built when they are first needed, once for all tables that look alike (`snk.pair.table.pattern`).

For wide tables this is done in a thread instead of the event loop.

SQLAlchemy needs up to two milliseconds per column to map a table and to build and compile a statement: seconds for the
1600 columns that a table may have. Meanwhile leases must be renewed, and other tables must flow. So a thread does this
work, one statement at a time. Only the compiled form is kept, not the hundreds of thousands of objects from which it
was compiled: Python's garbage collector would stop the whole process while it traverses them.
"""

import asyncio
import gc
import re
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from typing import Any, TypeVar, cast
from weakref import WeakValueDictionary

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.visitors import InternalTraversal

from snk.db.server import Server
from snk.pair.catalog.shape import Shape
from snk.pair.table.pattern import Look, named, pattern, valued
from snk.pair.table.synced import SyncedTable

FEW_COLUMNS = 16  # up to this number, a thread costs more than it saves

T = TypeVar("T")

# One thread, so that the event loop shares the interpreter with one other thread at most.
_MAKER = ThreadPoolExecutor(1, "statements")
_TEMPLATES: "WeakValueDictionary[Hashable, _Compiled]" = WeakValueDictionary()


class Ready:
    """A statement that can be executed. Its compiled form is forgotten with it, as no other session has its table."""

    def __init__(self, made: sa.Executable) -> None:
        self.made = made
        self.compiled: dict[Any, Any] = {}

    async def over(self, connection: AsyncConnection, values: Mapping[str, Any]) -> sa.CursorResult[Any]:
        """Execute it."""
        return await connection.execute(self.made, values, execution_options={"compiled_cache": self.compiled})


class Statement:
    """One statement about a table.

    Args:
        table: the table.
        make: builds the statement.
        key: names what ``make`` does, so that tables which look alike share what it makes; None if it must not be.
    """

    def __init__(self, table: SyncedTable, make: Callable[[SyncedTable], sa.Executable], key: Hashable = None) -> None:
        self._table = table
        self._make = make
        self._key = key
        self._ready: Ready | None = None

    async def ready(self, server: Server, names: Iterable[str]) -> Ready:
        """The statement, ready to be executed over connections to a server that was reached before.

        The first call may take seconds: make it while no connection is held.

        Args:
            server: always the same one.
            names: the names of the statement's parameters; always the same.
        """
        if self._ready is None:
            wide = _is_wide(self._table.shape)
            if self._key is not None:
                work = partial(self._shared, server, sorted(names))
                self._ready = await _beside(work) if wide else work()
            elif wide:
                self._ready = await _beside(partial(self._own, server, sorted(names)))
            else:
                self._ready = Ready(self._make(self._table))
        return self._ready

    async def part(self, server: Server) -> "_Compiled":
        """The statement, whose parameters all have values, to be `joined` with others."""
        work = partial(self._named, server, [])
        return await _beside(work) if _is_wide(self._table.shape) else work()

    def _shared(self, server: Server, names: list[str]) -> Ready:
        """The statement as it was written for all tables that look alike, with the names of this one."""
        return _ready(self._named(server, names), server, names)

    def _named(self, server: Server, names: list[str]) -> "_Compiled":
        key = (self._key, Look.of(self._table))
        template = _TEMPLATES.get(key)
        if template is None:
            template = _TEMPLATES[key] = self._compiled(pattern(self._table), server, names)
        return template.of(self._table)

    def _own(self, server: Server, names: list[str]) -> Ready:
        return _ready(self._compiled(self._table, server, names), server, names)

    def _compiled(self, table: SyncedTable, server: Server, names: list[str]) -> "_Compiled":
        return _written_for(server, self._make(table), names)


def ready(made: sa.Executable, server: Server, names: Iterable[str]) -> Ready:
    """A statement that is executed again and again, compiled once; SQLAlchemy would look up its text each time.

    Args:
        made: the statement.
        server: it was reached before, so that it is known how to write statements for it.
        names: the names of the statement's parameters; always the same.
    """
    names = sorted(names)
    return _ready(_written_for(server, made, names), server, names)


def _written_for(server: Server, made: sa.Executable, names: list[str]) -> "_Compiled":
    dialect = server.engine.sync_engine.dialect
    compiled = cast("sa.ClauseElement", made).compile(dialect=dialect, column_keys=names)
    return _Compiled.of_text(cast("SQLCompiler", compiled))


def _ready(made: "_Compiled", server: Server, names: list[str]) -> Ready:
    """A statement as compiled text, which is compiled already."""
    ready = Ready(made)
    # SQLAlchemy makes the same call when it executes a statement.
    dialect = server.engine.sync_engine.dialect
    made._compile_w_cache(dialect, compiled_cache=ready.compiled, column_keys=names)  # noqa: SLF001
    return ready


class _Compiled(sa.Executable, sa.ClauseElement):
    """The compiled form of a statement, which is executed in its place.

    SQLAlchemy does not convert the results. So the statement must not return types that need conversion, such as uuids.

    Attributes:
        texts: the text before, between and after the parameters.
        parameters: the parameters in their order in the text; one that occurs several times is repeated.
        template: what it was made from: as long as somebody has one of them, others find their template.
    """

    inherit_cache = True
    _traverse_internals = [  # noqa: RUF012 - SQLAlchemy declares it this way
        ("texts", InternalTraversal.dp_string_list),
        ("parameters", InternalTraversal.dp_clauseelement_list),
    ]

    def __init__(
        self, texts: list[str], parameters: list[sa.BindParameter[Any]], template: "_Compiled | None" = None
    ) -> None:
        self.texts = texts
        self.parameters = parameters
        self.template = template

    @classmethod
    def of_text(cls, compiled: SQLCompiler) -> "_Compiled":
        """The parts of what SQLAlchemy has compiled."""
        if compiled.post_compile_params:  # they have no number, so other parameters would be mistaken for them
            raise ValueError(f"a statement that is kept as text cannot use in_(): {compiled}")
        text, names = str(compiled), compiled.positiontup or []
        texts: list[str] = []
        parameters: list[sa.BindParameter[Any]] = []
        end = 0
        for token in _TOKEN.finditer(text):
            if number := token["parameter"]:
                texts.append(text[end : token.start()])
                parameters.append(compiled.binds[names[int(number) - 1]])
                end = token.end()
        return cls([*texts, text[end:]], parameters)

    def of(self, table: SyncedTable) -> "_Compiled":
        """The same for a table that looks like the one for which it was made."""
        return _Compiled(named(self.texts, table), valued(self.parameters, table), self)


Part = _Compiled
"""A statement that returns one value."""


def joined(parts: Sequence[Part]) -> sa.Executable:
    """One statement that returns the values of several, as one array."""
    texts = ["SELECT ARRAY["]
    for at, part in enumerate(parts):
        texts[-1] += f"{', ' if at else ''}({part.texts[0]}"
        texts += part.texts[1:]
        texts[-1] += ")"
    texts[-1] += "]"
    return _Compiled(texts, [parameter for part in parts for parameter in part.parameters])


# Names, quoted or not, and strings may contain a dollar sign and a number without being a parameter.
_TOKEN = re.compile(r""""[^"]*"|'[^']*'|[^\W\d][\w$]*|\$(?P<parameter>\d+)""")


@compiles(_Compiled)
def _written(compiled: _Compiled, compiler: SQLCompiler, **more: Any) -> str:
    parameters = [compiler.process(parameter, **more) for parameter in compiled.parameters]
    return "".join(chain.from_iterable(zip(compiled.texts, [*parameters, ""], strict=True)))


async def mapped(shape: Shape) -> SyncedTable:
    """The table with this shape, as `SyncedTable.of` returns it; a wide one is mapped in the thread."""
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
