"""What a client sends to be stored: read exactly, and refused where the columns leave no doubt."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from json import JSONDecodeError, JSONDecoder
from typing import Any

import simplejson

from snk.core.canonical import canonical
from snk.http.api.problem import Problem, invalid
from snk.serve.table import Dataset
from snk.serve.values import INTEGERS, misfit

Record = dict[str, Any]
WHOLE_DIGITS = 20
"""More than a bigint has."""


@dataclass(frozen=True, slots=True)
class Payload:
    """Records to be stored.

    Attributes:
        batch: whether they came as a list.
        hash: the same for payloads that mean the same.
    """

    records: Sequence[Record]
    batch: bool
    hash: bytes


def parsed(body: bytes, dataset: Dataset, *, batch: bool) -> Payload:
    """The records in a body.

    Raises:
        Problem: it is not JSON, or not records that this dataset could hold.
    """
    try:
        document = _DECODER.decode(body.decode())
        hashed = sha256((b"batch" if batch else b"one") + canonical(document)).digest()
    except (JSONDecodeError, UnicodeDecodeError, _Twice) as error:
        raise Problem(400, "not-json", f"The body is not JSON: {error}") from None
    except (RecursionError, ArithmeticError, ValueError) as error:
        words = "nested too deeply" if isinstance(error, RecursionError) else "with a number beyond all bounds"
        raise Problem(422, "invalid-request", f"The body is JSON {words}", {"field": None}) from None
    records = _items(document) if batch else [document]
    for index, record in enumerate(records):
        try:
            _check(record, dataset)
        except Problem as problem:
            if batch:
                problem.more["index"] = index
            raise
    return Payload(records, batch, hashed)


def text_of(records: Sequence[Record]) -> str:
    """Records as the text of a JSON list, with all digits of their numbers."""
    return simplejson.dumps(records, use_decimal=True)


class _Twice(ValueError):  # noqa: N818 - it says what is wrong
    """An object has a name twice."""


def _object(pairs: list[tuple[str, Any]]) -> Record:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        raise _Twice(f"{next(name for name in names if names.count(name) > 1)!r} is there twice")
    return made


def _constant(name: str) -> Any:
    raise _Twice(f"{name} is not a number of JSON; write it in quotes")


def _whole(digits: str) -> int | Decimal:
    return int(digits) if len(digits) < 400 else Decimal(digits)  # noqa: PLR2004 - Python refuses very long ones


_DECODER = JSONDecoder(object_pairs_hook=_object, parse_float=Decimal, parse_int=_whole, parse_constant=_constant)


def _items(document: Any) -> list[Any]:
    items = document.get("items") if isinstance(document, dict) and document.keys() == {"items"} else None
    if not isinstance(items, list) or not items:
        raise invalid("items", 'A batch is {"items": [...]} with at least one record')
    return items


def _is_whole(value: Decimal) -> bool:
    return value.adjusted() < WHOLE_DIGITS and value == value.to_integral_value()


def _check(record: Any, dataset: Dataset) -> None:
    """Refuse what is not a record of this dataset, and make whole numbers of those that only look otherwise."""
    if not isinstance(record, dict):
        raise Problem(422, "refused-record", "A record is a JSON object", {"field": None})
    for name, value in record.items():
        if name not in dataset.write:
            words = f"There is no column {name!r} to be written; there are {', '.join(dataset.write)}"
            raise Problem(422, "refused-record", words, {"field": name})
        column = dataset.columns[name]
        if column.base in INTEGERS and isinstance(value, Decimal) and _is_whole(value):
            record[name] = int(value)
        if wanted := misfit(column, record[name]):
            raise Problem(422, "refused-record", f"{name} is to be {wanted}", {"field": name})
    if not record:
        raise Problem(422, "refused-record", "The record is empty", {"field": None})
