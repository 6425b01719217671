"""Names of tables as people write them: ``orders``, ``sales.lines``, ``"a,b"."c.d"``.

A name is written as in the database, and its case is kept. Inside double quotes it may contain any character except
control characters; a double quote is written twice, as in SQL.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

MOST_BYTES = 63
MOST_PARTS = 2
_PART = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^\s",.](?:[^",.]*[^\s",.])?))\s*')
_BARE = re.compile(r'[^\s",.](?:[^",.]*[^\s",.])?')


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a list, as it is written.

    Attributes:
        parts: the table, or its schema and the table.
        quoted: for each part, whether it is in double quotes.
        excludes: whether the entry begins with ``!``.
    """

    parts: tuple[str, ...]
    quoted: tuple[bool, ...]
    excludes: bool = False


def split_list(text: str) -> tuple[str, ...]:
    """The names in a comma-separated list, without duplicates, in their order, each in its canonical form.

    Raises:
        ValueError: the list is malformed; the message says where and why.
    """
    return tuple(dict.fromkeys(written(entry.parts) for entry in _each(text)))


def split_entries(text: str) -> Iterator[Entry]:
    """The entries of a comma-separated list in which ``!`` before a name excludes it.

    Raises:
        ValueError: the list is malformed; the message says where and why.
    """
    return _each(text, excluding=True)


def split_name(text: str) -> tuple[str, ...]:
    """The parts of one name: the table, or its schema and the table.

    Raises:
        ValueError: the text is not one well-formed name.
    """
    names = list(_each(text))
    if len(names) != 1:
        raise ValueError(f"{text!r} is not one name")
    return names[0].parts


def written(parts: tuple[str, ...]) -> str:
    """A name as it may appear in a list, quoted only where it would otherwise be ambiguous."""
    return ".".join(part if _BARE.fullmatch(part) else quoted(part) for part in parts)


def quoted(part: str) -> str:
    """One part as an SQL identifier."""
    return '"' + part.replace('"', '""') + '"'


def _each(text: str, *, excluding: bool = False) -> Iterator[Entry]:
    at = 0
    while at < len(text):
        if re.compile(r"[\s,]*$").match(text, at):
            return
        if skipped := re.compile(r"\s*,").match(text, at):
            at = skipped.end()
            continue
        marked = re.compile(r"\s*!").match(text, at) if excluding else None
        if marked and text.startswith("!", marked.end()):
            raise ValueError(f"one ! excludes; a name that begins with it needs quotes: {text[at:]!r}")
        entry, at = _entry(text, marked.end() if marked else at, excludes=marked is not None)
        yield entry


def _entry(text: str, at: int, *, excludes: bool) -> tuple[Entry, int]:
    """The entry whose name begins at ``at``, and the position where it ends: a comma or the end of the text."""
    parts: list[str] = []
    in_quotes: list[bool] = []
    while found := _PART.match(text, at):
        part = found[2] if found[1] is None else found[1].replace('""', '"')
        _check(part)
        parts.append(part)
        in_quotes.append(found[1] is not None)
        at = found.end()
        if at == len(text) or text[at] == ",":
            break
        if text[at] != ".":
            raise ValueError(f"what follows {written((part,))} should be a dot or a comma: {text[at:]!r}")
        at += 1
    else:
        raise ValueError(f"no name can be read at {text[at:]!r}" if text[at:] else _nothing(parts))
    if len(parts) > MOST_PARTS:
        whole = ".".join(parts)
        raise ValueError(f"{whole!r} has {len(parts)} parts; a name is table or schema.table, quoted where it has dots")
    return Entry(tuple(parts), tuple(in_quotes), excludes), at


def _nothing(parts: list[str]) -> str:
    return "no name follows the dot" if parts else "no name follows the !"


def _check(part: str) -> None:
    if not part:
        raise ValueError('a name is empty: ""')
    if len(part.encode()) > MOST_BYTES:
        raise ValueError(f"{part!r} is longer than the {MOST_BYTES} bytes of a name in PostgreSQL")
    if any(ord(character) < 32 or ord(character) == 127 for character in part):  # noqa: PLR2004 - ASCII controls
        raise ValueError(f"{part!r} holds a control character")
