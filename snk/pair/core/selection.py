"""Which tables SNK_TABLES selects: exact names, patterns, and exclusions.

``app.*, !app.audit_*`` selects every table of the schema app except those whose names begin with ``audit_``. A part
without double quotes in which ``*`` or ``?`` occurs is a pattern: ``*`` stands for any characters, ``?`` for one. An
entry that begins with ``!`` excludes. The order of entries does not matter: a table is selected if at least one entry
includes it and none excludes it.

An exact name must be there and be fit. A table that only a pattern matches may come and go.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import translate

from snk.core.names import Entry, split_entries, split_name, written

SIDES = ("first", "second")
_WILD = re.compile(r"[*?]")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A table in one database that a pattern may match.

    Attributes:
        on_path: its schema is in the search_path.
        visible: its name without a schema leads to it.
        version: changes with most changes of its definition.
    """

    schema: str
    name: str
    on_path: bool
    visible: bool
    version: str = ""

    @property
    def full_name(self) -> str:
        """Schema and table in the form used in the settings."""
        return written((self.schema, self.name))

    def is_called(self, parts: tuple[str, ...]) -> bool:
        """Whether a name in the settings leads to this table."""
        return parts == (self.schema, self.name) or (self.visible and parts == (self.name,))


@dataclass(frozen=True, slots=True)
class Pattern:
    """One entry that may match several tables.

    Attributes:
        schema: matches the whole name of a schema; None for an entry without a schema.
        name: matches the whole name of a table.
    """

    schema: re.Pattern[str] | None
    name: re.Pattern[str]

    def matches(self, schema: str, name: str, *, on_path: bool) -> bool:
        """Whether it matches a table; without a schema, it matches tables in the search_path only."""
        of_schema = on_path if self.schema is None else self.schema.fullmatch(schema)
        return bool(of_schema and self.name.fullmatch(name))


@dataclass(frozen=True, slots=True)
class Chosen:
    """The tables that are selected now.

    Attributes:
        exact: those named exactly, as in the settings.
        matched: full names of those that only patterns match, on either side, sorted.
        doubled: every two exact names that lead to one table, in words.
        lacking: those of ``matched`` that only one side has, each with the side that lacks it.
        versions: by each of ``matched``, what its definition depends on, on both sides.
    """

    exact: tuple[str, ...]
    matched: tuple[str, ...]
    doubled: tuple[str, ...]
    lacking: dict[str, str]
    versions: dict[str, str]

    @property
    def tables(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.exact, *self.matched)


@dataclass(frozen=True, slots=True)
class Selection:
    """The tables that SNK_TABLES selects.

    Attributes:
        exact: names without a pattern, in their order, without duplicates, each in its canonical form.
        patterns: the entries that may match several tables.
        excluded: the entries that exclude.
    """

    exact: tuple[str, ...]
    patterns: tuple[Pattern, ...] = ()
    excluded: tuple[Pattern, ...] = ()

    @classmethod
    def of(cls, text: str) -> "Selection":
        """Read the value of SNK_TABLES.

        Raises:
            ValueError: it is malformed, or selects nothing; the message says why.
        """
        entries = list(split_entries(text))
        included = [entry for entry in entries if not entry.excludes]
        if entries and not included:
            raise ValueError("it only excludes tables, and includes none")
        exact = dict.fromkeys(written(entry.parts) for entry in included if not _wild(entry))
        patterns = tuple(dict.fromkeys(map(_pattern, filter(_wild, included))))
        return cls(tuple(exact), patterns, tuple(_pattern(entry) for entry in entries if entry.excludes))

    @property
    def plain(self) -> bool:
        """Whether it is a list of exact names only, so no database need be asked."""
        return not (self.patterns or self.excluded)

    def chosen(self, first: Sequence[Candidate], second: Sequence[Candidate]) -> Chosen:
        """Return the tables that are selected, by the tables that there are on both sides."""
        sides = (first, second)
        exact = tuple(name for name in self.exact if not self._drops(split_name(name), (*first, *second)))
        names = {table.full_name: self._names_of(table) for side in sides for table in side}
        doubled = tuple(f"{' and '.join(each)} are one table, {name}" for name, each in names.items() if len(each) > 1)
        named = {name for name, each in names.items() if each}
        out = {table.full_name for side in sides for table in side if _matches(self.excluded, table)}
        hit = {table.full_name for side in sides for table in side if _matches(self.patterns, table)} - named - out
        seen = [{table.full_name: table.version for table in side if table.full_name in hit} for side in sides]
        lacking = {name: label for label, side in zip(SIDES, seen, strict=True) for name in hit - side.keys()}
        versions = {name: " ".join(side.get(name, "-") for side in seen) for name in hit}
        return Chosen(exact, tuple(sorted(hit)), doubled, lacking, versions)

    def _names_of(self, table: Candidate) -> list[str]:
        return [name for name in self.exact if table.is_called(split_name(name))]

    def _drops(self, parts: tuple[str, ...], tables: Iterable[Candidate]) -> bool:
        """Whether an exact name is excluded: as it is written, or as a table that it leads to."""
        schema, name = parts if len(parts) > 1 else ("", parts[0])
        as_written = (pattern.matches(schema, name, on_path=not schema) for pattern in self.excluded)
        return any(as_written) or any(table.is_called(parts) and _matches(self.excluded, table) for table in tables)


def _matches(patterns: Iterable[Pattern], table: Candidate) -> bool:
    return any(pattern.matches(table.schema, table.name, on_path=table.on_path) for pattern in patterns)


def _wild(entry: Entry) -> bool:
    return any(_WILD.search(part) and not quoted for part, quoted in zip(entry.parts, entry.quoted, strict=True))


def _pattern(entry: Entry) -> Pattern:
    *schema, name = (_compiled(part, quoted=quoted) for part, quoted in zip(entry.parts, entry.quoted, strict=True))
    return Pattern(schema[0] if schema else None, name)


def _compiled(part: str, *, quoted: bool) -> re.Pattern[str]:
    # `translate` also knows sets in brackets, which are no part of this language.
    return re.compile(re.escape(part) if quoted else translate(part.replace("[", "[[]")), re.DOTALL)
