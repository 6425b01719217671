"""One form for records that mean the same, and digests of it.

Two systems write the same record differently: keys in another order, ``1.50`` for ``1.5``, ``+00:00`` for ``Z``. The
canonical form is JSON without spaces whose keys are sorted and whose values are written by what they mean:

- A number has no zeros at its end: ``1.50`` is ``1.5``, ``1.0`` and ``1e0`` are ``1``.
- A text that is a date and time with an offset (RFC 3339) is written in UTC, with no zeros at the end of its fraction.
- All other texts, and the order of lists, stay as they are.

A record's digest is the first half of the SHA-256 of this form in UTF-8. The digest of many records is the sum of
theirs modulo 2^128: it does not depend on their order, and records can be added to it one by one.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from functools import lru_cache
from hashlib import sha256
from json.encoder import encode_basestring
from typing import Any

DIGEST_BYTES = 16
_MODULUS = 2 ** (8 * DIGEST_BYTES)
_EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)
"""No digit is rounded away, and no exponent is too large."""
_MOST_WHOLE = 40
"""Digits up to which a whole number is written without an exponent."""
_LARGE = 10**_MOST_WHOLE
_WORDS = {None: "null", True: "true", False: "false"}
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,6}0*)?([Zz]|[+-]\d\d(:?\d\d)?)", re.ASCII)
_LEAST_TIME = len("2026-11-25T00:00:00Z")


@dataclass(slots=True)
class Digest:
    """The digest of many records.

    Attributes:
        count: how many there are.
        total: the sum of their digests.
    """

    count: int = 0
    total: int = 0

    def add(self, digest: int) -> None:
        """One more record."""
        self.count += 1
        self.total = (self.total + digest) % _MODULUS

    def merge(self, other: "Digest") -> None:
        """The records of another one."""
        self.count += other.count
        self.total = (self.total + other.total) % _MODULUS

    @property
    def hex(self) -> str:
        """The sum as 32 hexadecimal digits."""
        return f"{self.total:032x}"

    @classmethod
    def of(cls, records: Iterable[Any]) -> "Digest":
        """The digest of these records."""
        digest = cls()
        for record in records:
            digest.add(record_digest(record))
        return digest


def record_digest(record: Any) -> int:
    """The digest of one record.

    Args:
        record: JSON as Python reads it. Its numbers may be ``float`` or ``Decimal``; only the latter keeps all digits.
    """
    return digest_of(canonical(record))


def digest_of(form: bytes) -> int:
    """The digest of the record that has this canonical form."""
    return int.from_bytes(sha256(form).digest()[:DIGEST_BYTES])


def canonical(value: Any) -> bytes:
    """The canonical form of a value.

    Raises:
        ValueError: it has a number that is not finite, or is nested too deeply for Python.
        TypeError: it has something that JSON does not have.
    """
    try:
        return _written(value).encode("utf-8", "surrogatepass")
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _written(value: Any) -> str:
    kind = type(value)  # what records are mostly made of; matching patterns takes several times as long
    if kind is str:
        return encode_basestring(_instant(value)) if len(value) >= _LEAST_TIME else encode_basestring(value)
    if kind is dict:
        return "{" + ",".join([_name(key) + _written(value[key]) for key in sorted(value)]) + "}"
    if kind is int and -_LARGE < value < _LARGE:
        return str(value)
    return _written_otherwise(value)


def _written_otherwise(value: Any) -> str:
    match value:
        case None | bool():
            return _WORDS[value]
        case int() | float() | Decimal():
            return _number(Decimal(repr(value)) if isinstance(value, float) else Decimal(value))
        case list() | tuple():
            return "[" + ",".join(map(_written, value)) + "]"
    raise TypeError(f"JSON has no {type(value).__name__}")


@lru_cache(maxsize=1024)
def _name(key: str) -> str:
    return encode_basestring(key) + ":"


def _number(value: Decimal) -> str:
    if not value.is_finite():
        raise ValueError(f"{value} is not a number of JSON")
    plain = value.normalize(_EXACT)
    if plain.is_zero():
        return "0"
    whole = plain.as_tuple().exponent
    assert isinstance(whole, int)  # noqa: S101 - it is finite
    return str(int(plain)) if whole >= 0 and plain.adjusted() < _MOST_WHOLE else str(plain)


def _instant(text: str) -> str:
    """A text that is long enough for a date and time: in UTC if it is one, as it is if not."""
    if text[4] != "-" or not _TIME.fullmatch(text):
        return text
    if text[-1] == "Z" and text[10] == "T" and (len(text) == _LEAST_TIME or text[-2] != "0"):
        return text  # as it is nearly always
    try:
        at = datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        return text
    fraction = f".{at.microsecond:06}".rstrip("0") if at.microsecond else ""
    return f"{at.replace(microsecond=0, tzinfo=None).isoformat()}{fraction}Z"
