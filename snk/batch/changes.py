"""What a file of definitions would change. Pure."""

import json
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["task", "group"]
Definition = Mapping[str, Any]
Stored = Mapping[tuple[Kind, str], Definition]
"""Definitions by kind and name, as JSON."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change.

    Attributes:
        before: None if it is added.
        after: None if it is removed.
    """

    kind: Kind
    name: str
    before: Definition | None
    after: Definition | None

    @property
    def sign(self) -> str:
        """``+`` if it is added, ``-`` if it is removed, ``*`` if it changes."""
        return "+" if self.before is None else "-" if self.after is None else "*"

    def lines(self) -> Iterator[str]:
        """What a person reads before confirming."""
        yield f"{self.sign} {self.kind} {self.name}"
        if self.before is not None and self.after is not None:
            for place, old, new in _differences("", self.before, self.after):
                yield f"    {place}: {_shown(old)} -> {_shown(new)}"

    def details(self, written: Callable[[Definition], str]) -> Iterator[str]:
        """The whole definition before and after.

        Args:
            written: a definition as a text.
        """
        yield f"{self.sign} {self.kind} {self.name}"
        for words, definition in (("before", self.before), ("after", self.after)):
            if definition is not None:
                yield f"  {words}:"
                yield textwrap.indent(written(definition), "    ").rstrip()


def changes(before: Stored, after: Stored, *, prune: bool) -> list[Change]:
    """The changes that lead from one state to another.

    Args:
        before: what there is.
        after: what a file describes.
        prune: whether what the file does not describe is removed; otherwise it is left as it is.
    """
    gone = sorted(key for key in before if key not in after) if prune else []  # groups before tasks
    wanted = sorted((key for key in after if before.get(key) != after[key]), key=lambda key: (key[0] == "group", key))
    return [Change(*key, before.get(key), after.get(key)) for key in (*gone, *wanted)]


def _differences(place: str, before: Any, after: Any) -> Iterator[tuple[str, Any, Any]]:
    if before == after:
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in sorted(before.keys() | after.keys()):
            yield from _differences(f"{place}.{name}" if place else name, before.get(name), after.get(name))
        return
    yield place, before, after


def _shown(value: Any) -> str:
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False)
