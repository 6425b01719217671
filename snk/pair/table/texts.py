"""Joining the values of a text column into one text, and splitting it again.

Servers and the driver inspect every item of an array several times, but they copy one long text. Only SNK has to split
it, with Python's string methods.

A value that contains the separator or the character for NULL would be misread. So SNK compares the number of their
occurrences with the expected one; if they differ, the texts are transferred as arrays.
"""

from collections.abc import Sequence
from typing import Any

SEPARATOR = "\x1e"  # ASCII's record separator
NOTHING = "\x1f"  # ASCII's unit separator; represents NULL


def joined(items: Sequence[Any]) -> str | None:
    """Join two or more values, each a str or None, into one text.

    Returns:
        None if a value contains the separator or would be read as NULL.
    """
    present = [NOTHING if item is None else item for item in items] if None in items else items
    text = SEPARATOR.join(present)
    if text.count(SEPARATOR) != len(items) - 1:
        return None
    return None if NOTHING in text and NOTHING in items else text


def parted(text: str, rows: int, nulls: int) -> Sequence[str | None] | None:
    """Split a text into the values of ``rows`` rows, of which ``nulls`` are NULL.

    Returns:
        None if the values cannot be told apart.
    """
    items = text.split(SEPARATOR)
    if len(items) != rows:
        return None
    if not nulls and NOTHING not in text:
        return items
    if items.count(NOTHING) != nulls:
        return None
    return [None if item == NOTHING else item for item in items]
