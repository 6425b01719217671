"""Many values of a column as one text, and back.

Servers and the driver look at every item of an array several times; one long text they copy. Only SNK itself has to
take it apart, with what Python has for that.

A value that holds one of the two marks would be taken for something else, so their numbers are compared: where they
are not what they have to be, texts travel in arrays.
"""

from collections.abc import Sequence
from typing import Any

SEPARATOR = "\x1e"  # ASCII's record separator
NOTHING = "\x1f"  # ASCII's unit separator: stands for NULL


def joined(items: Sequence[Any]) -> str | None:
    """Two values or more, each a str or None, as one text.

    Returns:
        None where one of them holds the separator, or would be taken for NULL.
    """
    present = [NOTHING if item is None else item for item in items] if None in items else items
    text = SEPARATOR.join(present)
    if text.count(SEPARATOR) != len(items) - 1:
        return None
    return None if NOTHING in text and NOTHING in items else text


def parted(text: str, rows: int, nulls: int) -> Sequence[str | None] | None:
    """The values of so many rows, so many of which are NULL.

    Returns:
        None where it cannot be told which they are.
    """
    items = text.split(SEPARATOR)
    if len(items) != rows:
        return None
    if not nulls and NOTHING not in text:
        return items
    if items.count(NOTHING) != nulls:
        return None
    return [None if item == NOTHING else item for item in items]
