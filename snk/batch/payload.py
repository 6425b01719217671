"""Payloads of triggers: JSON objects that the platform's database can hold."""

import json
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, Field


def storable(payload: dict[str, Any]) -> dict[str, Any]:
    """The payload itself.

    Raises:
        ValueError: what no database can hold of it.
    """
    _check(payload)
    return payload


def exact(payload: Mapping[str, Any]) -> object:
    """A payload whose numbers are compared by what they mean: PostgreSQL writes all digits of 1e23."""
    return json.loads(json.dumps(dict(payload)), parse_float=Decimal)


def _check(value: Any) -> None:
    if isinstance(value, str) and "\0" in value:
        raise ValueError("a text of it has the character NUL, which no database holds")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is no number of JSON")
    for each in value.items() if isinstance(value, dict) else ():
        _check(each[0])
        _check(each[1])
    for each in value if isinstance(value, list) else ():
        _check(each)


Payload = Annotated[dict[str, Any], AfterValidator(storable)]
Key = Annotated[str, Field(min_length=1, max_length=255, pattern="^[ -~]+$")]
"""What identifies a trigger."""
