"""Identifiers and string literals in SQL syntax."""

from sqlalchemy.dialects.postgresql import asyncpg

_preparer = asyncpg.dialect().identifier_preparer  # type: ignore[no-untyped-call]


def identifier(*parts: str) -> str:
    """A name as an SQL identifier, with each part quoted if necessary."""
    return ".".join(str(_preparer.quote(part)) for part in parts)


def literal(text: str) -> str:
    """A string as an SQL literal, which is valid whether or not the server treats backslashes as escapes."""
    escaped = text.replace("'", "''")
    return f"'{escaped}'" if "\\" not in text else "E'" + escaped.replace("\\", "\\\\") + "'"
