"""Names of tables as people write them: ``orders``, ``sales.lines``, ``"a,b"."c.d"``.

A name is written as in the database, and its case is kept. Inside double quotes it may contain any character except
control characters; a double quote is written twice, as in SQL.
"""

import re
from collections.abc import Iterator

MOST_BYTES = 63
MOST_PARTS = 2
_PART = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^\s",.](?:[^",.]*[^\s",.])?))\s*')
_BARE = re.compile(r'[^\s",.](?:[^",.]*[^\s",.])?')


def split_list(text: str) -> tuple[str, ...]:
    """The names in a comma-separated list, without duplicates, in their order, each in its canonical form.

    Raises:
        ValueError: the list is malformed; the message says where and why.
    """
    return tuple(dict.fromkeys(written(parts) for parts in _each(text)))


def split_name(text: str) -> tuple[str, ...]:
    """The parts of one name: the table, or its schema and the table.

    Raises:
        ValueError: the text is not one well-formed name.
    """
    names = list(_each(text))
    if len(names) != 1:
        raise ValueError(f"{text!r} is not one name")
    return names[0]


def written(parts: tuple[str, ...]) -> str:
    """A name as it may appear in a list, quoted only where it would otherwise be ambiguous."""
    return ".".join(part if _BARE.fullmatch(part) else quoted(part) for part in parts)


def quoted(part: str) -> str:
    """One part as an SQL identifier."""
    return '"' + part.replace('"', '""') + '"'


def _each(text: str) -> Iterator[tuple[str, ...]]:
    at = 0
    while at < len(text):
        if re.compile(r"[\s,]*$").match(text, at):
            return
        if skipped := re.compile(r"\s*,").match(text, at):
            at = skipped.end()
            continue
        parts, at = _name(text, at)
        yield parts


def _name(text: str, at: int) -> tuple[tuple[str, ...], int]:
    """The name that begins at ``at``, and the position where it ends: a comma or the end of the text."""
    parts: list[str] = []
    while found := _PART.match(text, at):
        part = found[2] if found[1] is None else found[1].replace('""', '"')
        _check(part)
        parts.append(part)
        at = found.end()
        if at == len(text) or text[at] == ",":
            break
        if text[at] != ".":
            raise ValueError(f"what follows {written((part,))} should be a dot or a comma: {text[at:]!r}")
        at += 1
    else:
        raise ValueError(f"no name can be read at {text[at:]!r}" if text[at:] else "no name follows the dot")
    if len(parts) > MOST_PARTS:
        whole = ".".join(parts)
        raise ValueError(f"{whole!r} has {len(parts)} parts; a name is table or schema.table, quoted where it has dots")
    return tuple(parts), at


def _check(part: str) -> None:
    if not part:
        raise ValueError('a name is empty: ""')
    if len(part.encode()) > MOST_BYTES:
        raise ValueError(f"{part!r} is longer than the {MOST_BYTES} bytes of a name in PostgreSQL")
    if any(ord(character) < 32 or ord(character) == 127 for character in part):  # noqa: PLR2004 - ASCII controls
        raise ValueError(f"{part!r} holds a control character")
