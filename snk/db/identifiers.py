"""Names as SQL has them."""

from sqlalchemy.dialects.postgresql import asyncpg

_preparer = asyncpg.dialect().identifier_preparer  # type: ignore[no-untyped-call]


def identifier(*parts: str) -> str:
    """A name as SQL has it, each part quoted where it has to be."""
    return ".".join(str(_preparer.quote(part)) for part in parts)
