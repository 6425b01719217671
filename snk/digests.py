"""Digests of records whose numbers are exact: the same as those of `snk.core.canonical`, in a third of the time.

A library writes the canonical form but for what it does not know: numbers with a fraction, and times that are not in
UTC or end with zeros. Zeros are taken off here; records that have any of the others take the general way.
"""

import json
import re
from decimal import Decimal
from typing import Any

import orjson

from snk.core.canonical import digest_of, record_digest

_OTHER_TIME = re.compile(
    rb'"(?!\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{0,5}[1-9])?Z")'
    rb'\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d(?::?\d\d)?)"'
)
"""A text that may be a date and time in another form than the canonical one."""
_ZEROS = re.compile(
    rb'(?<!\\)"((?!0000)\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d)'
    rb'(?:\.0+|(\.\d{0,5}[1-9])0+)Z"(?!:)'
)
"""A text, and not a name, that is surely a date and time in UTC whose fraction ends with zeros."""


EXACT_CHARACTERS = 16
"""A number with a point and no more characters than this has at most 15 digits, which a float keeps."""
LEAST_PLAIN, MOST_PLAIN = 1e-3, 1e15
"""Between them, a library writes a float as the canonical form has it."""


def exact_number(text: str) -> float | Decimal:
    """A number with a fraction: as a float if that has the same digits, which is faster, or with all its digits."""
    if len(text) <= EXACT_CHARACTERS:
        value = float(text)
        if LEAST_PLAIN <= abs(value) < MOST_PLAIN and not value.is_integer():
            return value
    return Decimal(text)


DECODER = json.JSONDecoder(parse_float=exact_number)
"""Reads JSON whose digests are wanted; json.loads would make a decoder for each text."""


def exact_digest(record: Any) -> int:
    """The digest of one record.

    Args:
        record: JSON as `DECODER` reads it, or with ``Decimal`` for each number with a fraction.

    Raises:
        ValueError: it is nested too deeply for Python.
    """
    try:
        text = orjson.dumps(record, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # it has a Decimal, half of a pair of surrogates, a very large number, or is nested deeply
        return record_digest(record)
    if b'0Z"' in text:
        text = _ZEROS.sub(_without_zeros, text)
    return record_digest(record) if _OTHER_TIME.search(text) else digest_of(text)


def _without_zeros(found: re.Match[bytes]) -> bytes:
    return b'"%bZ"' % (found[1] + (found[2] or b""))
