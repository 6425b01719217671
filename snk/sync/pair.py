"""What is kept equal."""

from dataclasses import dataclass

from snk.db.engine import Server


@dataclass(frozen=True, slots=True)
class Pair:
    """Two databases, and the tables that they have in common."""

    first: Server
    second: Server
    tables: tuple[str, ...]
