"""What a repair of rows does: copy a row that one side lacks, or replace one of two rows that differ. Pure."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

Label = Literal["first", "second"]
OTHER: dict[Label, Label] = {"first": "second", "second": "first"}


@dataclass(frozen=True, slots=True)
class CopyRow:
    """Copy a row to the side that lacks it.

    Attributes:
        to: the side that lacks it; that it still does is the before-value.
    """

    table: str
    uuid: str
    to: Label

    @property
    def as_json(self) -> dict[str, Any]:
        """As `snk.core.plan.Action` says."""
        return {"action": "copy", **asdict(self)}

    def __str__(self) -> str:
        return f"{self.table} {self.uuid} : copy to {self.to}"


@dataclass(frozen=True, slots=True)
class ReplaceRow:
    """Give a row on one side the values that the other side has, or had.

    Attributes:
        on: the side that is changed.
        before: the values that are replaced, by column, each in PostgreSQL's text form.
        after: the values that replace them.
    """

    table: str
    uuid: str
    on: Label
    before: dict[str, str | None]
    after: dict[str, str | None]

    @property
    def as_json(self) -> dict[str, Any]:
        """As `snk.core.plan.Action` says."""
        return {"action": "replace", **asdict(self)}

    @property
    def undone(self) -> "ReplaceRow":
        """The replacement that takes this one back."""
        return ReplaceRow(self.table, self.uuid, self.on, self.after, self.before)

    @property
    def changed(self) -> list[str]:
        """The columns whose values are replaced."""
        return [name for name in self.before if self.before[name] != self.after[name]]

    def __str__(self) -> str:
        return f"{self.table} {self.uuid} : replace {', '.join(self.changed)} on {self.on}"


def copy_of(given: dict[str, Any]) -> CopyRow:
    """Restore a copy from its JSON form.

    Raises:
        ValueError: it is something else.
    """
    if given.get("action") != "copy":
        raise ValueError(f"it holds the unknown action {given.get('action')!r}")
    return CopyRow(given["table"], given["uuid"], given["to"])


def replacement_of(given: dict[str, Any]) -> ReplaceRow:
    """Restore a replacement from its JSON form."""
    return ReplaceRow(given["table"], given["uuid"], given["on"], given["before"], given["after"])
