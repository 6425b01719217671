"""Names and strings as SQL has them."""

from sqlalchemy.dialects.postgresql import asyncpg

_preparer = asyncpg.dialect().identifier_preparer  # type: ignore[no-untyped-call]


def identifier(*parts: str) -> str:
    """A name as SQL has it, each part quoted where it has to be."""
    return ".".join(str(_preparer.quote(part)) for part in parts)


def literal(text: str) -> str:
    """A string as SQL has it, whether or not backslashes mean something there."""
    escaped = text.replace("'", "''")
    return f"'{escaped}'" if "\\" not in text else "E'" + escaped.replace("\\", "\\\\") + "'"
